import { type Chs, MAX_CYLINDER, chsOfSector, sectorOfChs } from '../bytes/chs.ts';
import type { MbrEditor } from './mbr-editor.ts';
import type { EditedPartition } from './mbr-slots.ts';

export interface MbrCheck {
  /** In fdisk's words. */
  readonly errors: readonly string[];
  /** What is allocated, as fdisk counts it: with the table's sectors and the gap before the first partition. */
  readonly allocatedSectors: number;
}

/** Verifies a table as fdisk's `v` does: addresses that disagree (in DOS mode), overlaps, logical partitions outside. */
export function checkMbr(editor: MbrEditor): MbrCheck {
  const errors: string[] = [];
  let allocatedSectors = 1;
  const { partitions } = editor;
  const isData = ({ used, extended }: EditedPartition): boolean => used && !extended;
  for (const partition of partitions) {
    if (!partition.used) continue;
    if (partition.extended) continue;
    if (editor.layout.dosCompatible) checkAddresses(editor, partition, errors);
    allocatedSectors += partition.sectorCount;
    if (partition.index === 0) allocatedSectors += partition.startSector - 1;
    for (const other of partitions.slice(0, partition.index)) {
      if (!isData(other)) continue;
      const startsInside =
        partition.startSector >= other.startSector && partition.startSector <= other.endSector;
      const endsInside = partition.endSector <= other.endSector && partition.endSector >= other.startSector;
      if (!startsInside && !endsInside) continue;
      errors.push(`Partition ${other.index + 1}: overlaps partition ${partition.index + 1}.`);
      allocatedSectors +=
        Math.max(partition.startSector, other.startSector) - Math.min(partition.endSector, other.endSector);
    }
  }
  const extended = partitions.find((partition) => partition.extended);
  if (extended !== undefined) {
    for (const partition of partitions.slice(4)) {
      allocatedSectors++;
      if (partition.entry.type === 0) {
        if (partitions.length > 5) errors.push(`Partition ${partition.index + 1}: empty.`);
      } else if (partition.startSector < extended.startSector || partition.endSector > extended.endSector) {
        errors.push(
          `Logical partition ${partition.index + 1}: not entirely in partition ${extended.index + 1}.`,
        );
      }
    }
  }
  return { errors, allocatedSectors };
}

/** C/H/S against sector numbers, for the primary partitions, as far as the cylinder can be written. */
function checkAddresses(editor: MbrEditor, partition: EditedPartition, errors: string[]): void {
  const { geometry } = editor.layout;
  const { entry, startSector, endSector } = partition;
  const name = `Partition ${partition.index + 1}`;
  const first = chsOfSector(startSector, geometry);
  const last = chsOfSector(endSector, geometry);
  if (partition.index < 4) {
    if (first.cylinder <= MAX_CYLINDER && !same(entry.firstChs, first)) {
      errors.push(
        `${name}: different physical/logical beginnings (non-Linux?): phys=${triple(entry.firstChs)}, logical=${triple(first)}`,
      );
    }
    if (last.cylinder <= MAX_CYLINDER && !same(entry.lastChs, last)) {
      errors.push(
        `${name}: different physical/logical endings: phys=${triple(entry.lastChs)}, logical=${triple(last)}`,
      );
    }
    if (entry.lastChs.head !== geometry.heads - 1 || entry.lastChs.sector !== geometry.sectorsPerTrack) {
      errors.push(`${name}: does not end on cylinder boundary.`);
    }
  }
  checkAddress(editor, name, entry.firstChs, first, startSector, errors);
  checkAddress(editor, name, entry.lastChs, last, endSector, errors);
}

function checkAddress(
  editor: MbrEditor,
  name: string,
  address: Chs,
  actual: Chs,
  sector: number,
  errors: string[],
): void {
  const { geometry } = editor.layout;
  const calculated = sectorOfChs(address, geometry);
  if (calculated === 0) errors.push(`${name}: contains sector 0`);
  if (address.head >= geometry.heads) {
    errors.push(`${name}: head ${address.head + 1} greater than maximum ${geometry.heads}`);
  }
  if (address.sector > geometry.sectorsPerTrack) {
    errors.push(`${name}: sector ${address.sector} greater than maximum ${geometry.sectorsPerTrack}`);
  }
  if (address.cylinder >= geometry.cylinders) {
    errors.push(`${name}: cylinder ${address.cylinder + 1} greater than maximum ${geometry.cylinders}`);
  }
  if (actual.cylinder <= MAX_CYLINDER && calculated !== sector) {
    errors.push(`${name}: LBA sector ${sector} disagrees with C/H/S calculated sector ${calculated}`);
  }
}

function same(a: Chs, b: Chs): boolean {
  return a.cylinder === b.cylinder && a.head === b.head && a.sector === b.sector;
}

function triple({ cylinder, head, sector }: Chs): string {
  return `(${cylinder}, ${head}, ${sector})`;
}
