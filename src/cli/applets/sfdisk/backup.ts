import fs from 'node:fs';
import path from 'node:path';
import { readBytes } from '../../../device/block-device.ts';
import type { Disk } from '../fdisk/disk.ts';
import { type Context, Failure, diskOperand, openDisk } from './context.ts';

/** A part of the disk that holds the table. Bytes. */
interface Area {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** `-B`: saves the sectors of the table. */
export function backUpCommand(context: Context, operands: readonly string[]): number {
  const disk = openDisk(context, diskOperand(operands), { readOnly: true });
  try {
    if (disk.label === undefined) {
      throw new Failure(`${disk.name}: does not contain a recognized partition table`);
    }
    backUp(context, disk);
    return 0;
  } finally {
    disk.close();
  }
}

/** Saves the sectors of the table, as they are on the disk, to a file each; its name says where they belong. */
export function backUp(context: Context, disk: Disk): void {
  const { talk } = context;
  if (disk.label === undefined) return;
  const areas = tableAreas(disk);
  talk.info('Backup files:');
  for (const { name, offset, size } of areas) {
    const file = `${filePrefix(context, disk)}-0x${offset.toString(16).padStart(8, '0')}.bak`;
    const place = path.resolve(context.io.cwd, file);
    const content = readBytes(disk.device, offset, Math.min(size, Math.max(0, disk.device.size - offset)));
    const fd = fs.openSync(place, 'w', 0o600);
    try {
      fs.writeSync(fd, content);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    talk.info(
      `${name.padStart(12)} (offset ${String(offset).padStart(5)}, size ${String(size).padStart(5)}): ${file}`,
    );
  }
  talk.info('');
}

/** `~/sfdisk-sda`, or what `-O` says in place of `~/sfdisk`. */
export function filePrefix({ io, options }: Context, disk: Disk, given = options.backupFile): string {
  const name = path.basename(disk.name);
  if (given !== undefined) return `${given}-${name}`;
  const home = io.env['HOME'];
  if (home === undefined) throw new Failure('failed to generate backup file name: HOME is not set');
  return `${home}/sfdisk-${name}`;
}

function tableAreas(disk: Disk): Area[] {
  const { sectorSize } = disk;
  const { gpt, editor } = disk;
  if (gpt !== undefined) {
    const length = gpt.entryCount * 128;
    const tableSectors = gpt.tableEndLba - gpt.tableLba + 1;
    return [
      { name: 'PMBR', offset: 0, size: 512 },
      { name: 'GPT Header', offset: sectorSize, size: 512 },
      { name: 'GPT Entries', offset: gpt.tableLba * sectorSize, size: length },
      { name: 'GPT Backup Entries', offset: (gpt.alternateLba - tableSectors) * sectorSize, size: length },
      { name: 'GPT Backup Header', offset: gpt.alternateLba * sectorSize, size: 512 },
    ];
  }
  const chain = editor?.partitions.slice(4) ?? [];
  return [
    { name: 'MBR', offset: 0, size: 512 },
    ...chain.map(({ index }) => ({
      name: 'EBR',
      offset: editor!.tableSector(index) * sectorSize,
      size: 512,
    })),
  ];
}
