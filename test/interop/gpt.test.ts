import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { FileDevice } from '../../src/host/file-device.ts';
import { DiskImage } from '../../src/disk/disk-image.ts';
import { diskLayout } from '../../src/partition/disk-layout.ts';
import { GptEditor } from '../../src/partition/gpt-editor.ts';
import { GPT_TYPES } from '../../src/partition/gpt-type.ts';
import { readGpt } from '../../src/partition/gpt.ts';
import { formatGuid } from '../../src/partition/guid.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;

function emptyImage(size: number): string {
  const image = path.join(temporaryFolder(), 'disk.img');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, size);
  return image;
}

/** A table with partitions of many types at seeded places, written by us. */
function writeTable(image: string, sectorSize: number, seed: number): GptEditor {
  const device = FileDevice.open(image, { sectorSize });
  const geometry = { cylinders: 0, heads: 255, sectorsPerTrack: 63 };
  const layout = diskLayout({ size: device.size, sectorSize, geometry, dosCompatible: false });
  let state = seed * 7919;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const guid = (): string => formatGuid(Uint8Array.from({ length: 16 }, () => below(256)));
  const editor = GptEditor.create(device, layout, { diskGuid: guid() });
  let start = editor.firstUsable;
  for (let count = 1 + below(12); count > 0 && start < editor.lastUsable; count--) {
    const endSector = Math.min(editor.lastUsable, start + below((8 * MIB) / sectorSize));
    editor.setPartition(below(100), {
      type: GPT_TYPES[below(GPT_TYPES.length)]![0],
      uuid: guid(),
      startSector: start,
      endSector,
      name: ['', 'boot', 'a name, with "quotes"', 'ünïcode ✓'][below(4)]!,
      attributes: [0n, 1n, 4n, 1n << 60n][below(4)]!,
    });
    // An entry that was taken twice leaves a gap, which is as good.
    start = endSector + 1 + below(5000);
  }
  editor.write(device);
  device.close();
  return editor;
}

describeWithTools(['sgdisk', 'sfdisk', 'parted'], 'A GPT of ours is whole for others', () => {
  test.each(Array.from({ length: 12 }, (_, seed) => seed + 1))('with random partitions, seed %i', (seed) => {
    const image = emptyImage(100 * MIB);
    const editor = writeTable(image, 512, seed);
    const verified = runTool('sgdisk', ['-v', image]);
    expect(verified.stdout).toContain('No problems found');
    expect(runTool('parted', ['-s', '-m', image, 'unit', 's', 'print']).stderr).toBe('');
    const json = JSON.parse(runTool('sfdisk', ['-J', image]).stdout) as {
      partitiontable: { id: string; partitions: { node: string; start: number; size: number }[] };
    };
    expect(json.partitiontable.id).toBe(editor.diskGuid);
    expect(json.partitiontable.partitions.map(({ start, size }) => [start, size])).toEqual(
      editor.partitions.map(({ startSector, sectorCount }) => [startSector, sectorCount]),
    );
  });

  test('with sectors of 4096 bytes', () => {
    const image = emptyImage(200 * MIB);
    const editor = writeTable(image, 4096, 5);
    const dump = runTool('fdisk', ['-b', '4096', '-l', '-o', 'Start,End', image]);
    expect(dump.stderr).toBe('');
    for (const { startSector, endSector } of editor.partitions) {
      expect(dump.stdout).toMatch(new RegExp(`^ *${startSector} +${endSector}$`, 'm'));
    }
  });

  test('and one of theirs is for us, also after the image grew and lost its first header', () => {
    const image = emptyImage(64 * MIB);
    runTool('sgdisk', [
      '-n',
      '1:2048:+5M',
      '-n',
      '5:0:+3M',
      '-c',
      '5:ünïcode',
      '-t',
      '5:ef00',
      '-A',
      '5:set:2',
      image,
    ]);
    const device = FileDevice.open(image, { readOnly: true });
    const table = readGpt(device)!;
    expect(table.findings).toEqual([]);
    expect(table.partitions).toMatchObject([
      { number: 1, startSector: 2048, sectorCount: 10240, attributes: 0n },
      { number: 5, typeName: 'EFI System', name: 'ünïcode', attributes: 4n },
    ]);
    expect(DiskImage.open(device).partition(5).active).toBe(true);
    const grown = emptyImage(80 * MIB);
    fs.copyFileSync(image, grown);
    fs.truncateSync(grown, 80 * MIB);
    const larger = FileDevice.open(grown);
    const geometry = { cylinders: 0, heads: 255, sectorsPerTrack: 63 };
    const layout = diskLayout({ size: larger.size, sectorSize: 512, geometry, dosCompatible: false });
    GptEditor.open(larger, layout)!.write(larger);
    expect(runTool('sgdisk', ['-v', grown]).stdout).toContain('No problems found');
    larger.write(512, new Uint8Array(512));
    GptEditor.open(larger, layout)!.write(larger);
    larger.close();
    expect(runTool('sgdisk', ['-v', grown]).stdout).toContain('No problems found');
  });
});
