import fs from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { timestampFromMilliseconds } from '../../src/bytes/time.ts';
import { SliceDevice } from '../../src/device/slice-device.ts';
import { deviceViews } from '../../src/disk/device-views.ts';
import { formatExt } from '../../src/filesystem/ext/format/format.ts';
import { formatFat } from '../../src/filesystem/fat/format.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { GptEditor } from '../../src/partition/gpt-editor.ts';
import { LINUX_FILESYSTEM } from '../../src/partition/gpt-type.ts';
import { MbrEditor } from '../../src/partition/mbr-editor.ts';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { layoutOf } from '../support/damaged-tables.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

/** Images for sectors of both sizes, laid out alike: every layer has to find the same places in them without a hint. */

const folder = fs.realpathSync(temporaryFolder());
const SIZE = 64 << 20;

type Kind = 'ext2' | 'fat';

function format(device: SliceDevice, kind: Kind): void {
  if (kind === 'fat') formatFat(device, { volumeId: 0x1234_5678 });
  else
    formatExt(device, {
      uuid: new Uint8Array(16).fill(7),
      hashSeed: new Uint8Array(16).fill(9),
      now: timestampFromMilliseconds(0),
    });
}

/** One or several partitions of 8 MiB each, one after another from the second MiB on; the third and later ones are logical. */
function image(
  name: string,
  table: 'mbr' | 'gpt',
  sectorSize: number,
  content: readonly (Kind | 'logical' | 'nothing')[],
) {
  const file = path.join(folder, name);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, SIZE);
  const device = FileDevice.open(file);
  const layout = layoutOf(SIZE, sectorSize);
  const sectors = (bytes: number): number => bytes / sectorSize;
  const places: { number: number; offset: number; size: number }[] = [];
  if (table === 'gpt') {
    const editor = GptEditor.create(device, layout, { diskGuid: '51E32BE6-9CA0-074E-B7FF-30FAB0604E01' });
    for (const [index] of content.entries()) {
      const offset = (2 + 8 * index) << 20;
      editor.setPartition(index, {
        type: LINUX_FILESYSTEM,
        uuid: `0B1E2A33-4455-4667-8899-AABBCCDDEE0${index}`,
        startSector: sectors(offset),
        endSector: sectors(offset + (8 << 20)) - 1,
      });
      places.push({ number: index + 1, offset, size: 8 << 20 });
    }
    editor.write(device);
  } else {
    const editor = MbrEditor.create(device, layout, { diskIdentifier: 0x1234_5678 });
    for (const [index, each] of content.entries()) {
      const offset = (2 + 8 * index) << 20;
      if (each === 'logical') {
        const end = sectors(offset + (16 << 20)) - 1;
        editor.setPartition(index, 0x05, sectors(offset), end);
        const slot = editor.addSlot();
        editor.placeTable(slot, sectors(offset));
        editor.setPartition(slot, 0x83, sectors(offset + (1 << 20)), end);
        places.push({ number: 5, offset: offset + (1 << 20), size: 15 << 20 });
      } else {
        editor.setPartition(
          index,
          each === 'fat' ? 0x0c : 0x83,
          sectors(offset),
          sectors(offset + (8 << 20)) - 1,
        );
        places.push({ number: index + 1, offset, size: 8 << 20 });
      }
    }
    editor.write(device);
  }
  for (const [index, each] of content.entries()) {
    const { offset, size } = places[index]!;
    if (each !== 'nothing') format(new SliceDevice(device, offset, size), each === 'fat' ? 'fat' : 'ext2');
  }
  device.close();
  return { file, places };
}

const CASES = [
  ['gpt', ['ext2', 'fat']],
  ['gpt', ['nothing']],
  ['mbr', ['ext2']],
  ['mbr', ['fat', 'ext2']],
  ['mbr', ['nothing', 'fat']],
  ['mbr', ['logical']],
  ['mbr', ['fat', 'nothing', 'logical']],
] as const;

describe.each([512, 4096])('An image made for sectors of %i bytes', (sectorSize) => {
  test.each(CASES)('with an %s of %j has its partitions where they were put', async (table, content) => {
    const { file, places } = image(
      `${table}-${content.join('-')}-${sectorSize}.img`,
      table,
      sectorSize,
      content,
    );
    const device = FileDevice.open(file, { readOnly: true });
    const views = deviceViews(device, 'loop', 0).filter(({ partition }) =>
      places.some(({ number }) => number === partition),
    );
    device.close();
    expect(views.map(({ partition, offset, size }) => ({ number: partition, offset, size }))).toEqual(places);

    const json = await userloop(['inspect', '--json', file]);
    const [report] = JSON.parse(json.stdout) as [
      { table: { sectorSize: number; partitions: typeof places }; findings: { fault: string }[] },
    ];
    expect(report.table.sectorSize).toBe(sectorSize);
    for (const { number, offset, size } of places) {
      expect(report.table.partitions).toContainEqual(expect.objectContaining({ number, offset, size }));
    }
    expect(report.findings.map(({ fault }) => fault)).toEqual(sectorSize === 512 ? [] : ['sector-size']);

    const text = (await userloop(['inspect', file])).stdout;
    expect(text.split('made for 4096-byte sectors')).toHaveLength(sectorSize === 512 ? 1 : 2);

    for (const [index, { number }] of places.entries()) {
      if (content[index] === 'nothing') continue;
      const name = `of-${number}`;
      expect(await userloop(['mkdir', `${file}:${number}:/${name}`])).toMatchObject({
        status: 0,
        stderr: '',
      });
      expect((await userloop(['ls', `${file}:${number}:/`])).stdout).toContain(name);
    }
  });
});

describeWithDevices([], 'attach', () => {
  const attached = new AttachedTest();

  afterAll(async () => {
    await attached.end();
  });

  async function detach(name: string): Promise<void> {
    expect(await userloop(['detach', name], { env: attached.env })).toMatchObject({
      status: 0,
      stderr: '',
    });
  }

  test('says once that the image was made for other sectors, and has its partitions', async () => {
    const { env } = attached;
    for (const [table, content] of [CASES[0], CASES[6]]) {
      const { file, places } = image(`attached-${table}.img`, table, 4096, content);
      const result = await userloop(['attach', '--json', file], { env });
      expect(result.stderr).toBe(`userloop attach: ${file} was made for 4096-byte sectors\n`);
      const state = JSON.parse(result.stdout) as {
        name: string;
        sectorSize: number;
        views: { partition?: number; offset: number; size: number }[];
      };
      expect(state.sectorSize).toBe(4096);
      for (const { number, offset, size } of places) {
        expect(state.views).toContainEqual(expect.objectContaining({ partition: number, offset, size }));
      }
      const seen = await userloop(['inspect', `/dev/${state.name}`], { env });
      expect(seen.stdout).toContain('sectors of 4096 bytes');
      await detach(state.name);

      // Who asks for other sectors gets them.
      const asked = await userloop(['attach', '--json', '-b', '512', file], { env });
      expect(asked.stderr).toBe('');
      const other = JSON.parse(asked.stdout) as { name: string; sectorSize: number };
      expect(other.sectorSize).toBe(512);
      await detach(other.name);
    }
  });
});
