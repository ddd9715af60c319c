import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { bsdFindings } from './bsd-findings.ts';
import { findGpt, gptFindings } from './gpt-findings.ts';
import { mbrFindings } from './mbr-findings.ts';
import { isVolumeBootSector } from './superfloppy.ts';
import { type Table, readTable } from './table.ts';
import type { TableFinding } from './table-finding.ts';

/**
 * Everything that is wrong with the partition table of a device, each with its structure, field, byte offset, what was found
 * and what was expected. `table`: what `readTable` gave for the same device. Nothing is thrown for what is on the device, and
 * nothing is written.
 */
export function checkTable(
  device: BlockDevice,
  table: Table | undefined = readTable(device),
): readonly TableFinding[] {
  if (table?.kind === 'gpt') return [...table.findings, ...gptFindings(device, table)];
  const own = table === undefined ? [] : [...table.findings, ...mbrFindings(device, table)];
  return [...own, ...bsdFindings(device, table), ...untoldGpt(device, table)];
}

/** A GPT that is not the disk's table: since its headers are damaged, or since no protective MBR tells of it. */
function untoldGpt(device: BlockDevice, table: Table | undefined): TableFinding[] {
  const gpt = findGpt(device);
  if (gpt === undefined) return [];
  if (gpt.whole === undefined) {
    // Half a header under another table is nothing but a rest.
    return table?.kind === 'mbr' && table.protective ? [...gpt.findings] : [];
  }
  const inUse = hasOwnContent(device, table);
  return [
    {
      fault: 'protective-missing',
      severity: 'note',
      structure: 'master boot record',
      field: 'partitionTable',
      offset: 0x1be,
      found: inUse ? 'in use for something else' : 'without an entry of type 0xee from sector 1',
      expected: `a protective entry, since the ${gpt.source} GPT header at byte ${
        gpt.whole.header.lba * gpt.sectorSize
      } is whole`,
      ...(inUse
        ? { advice: 'The GPT is left over from an earlier use of the image; wipefs or sgdisk -z removes it' }
        : {}),
    },
    ...gpt.findings,
  ];
}

/** Does sector 0 hold partitions or a volume of its own, or is a file system behind it? */
export function hasOwnContent(device: BlockDevice, table: Table | undefined): boolean {
  if (table !== undefined && table.partitions.some(({ type }) => type !== 0xee)) return true;
  if (isVolumeBootSector(readBytes(device, 0, 512))) return true;
  // s_magic of an ext superblock at 1024; a GPT with sectors of 512 bytes has its first entry there.
  return device.size >= 2048 && viewOf(readBytes(device, 1024, 64)).getUint16(0x38, true) === 0xef53;
}
