import { FsError } from '../errors.ts';
import type { BsdDisklabelEditor, SectorRange } from './bsd-disklabel-editor.ts';
import { MAX_BSD_PARTITIONS } from './bsd-disklabel.ts';
import { BSD_UNUSED } from './bsd-type.ts';
import type { PartitionTemplate } from './partition-template.ts';

/** Where partitions of a disklabel may lie: the slice, or as much of a whole disk as it has cylinders for. */
export function bsdRange(editor: BsdDisklabelEditor): SectorRange {
  return editor.slice ?? { startSector: 0, sectorCount: editor.drive('d_secperunit') };
}

/**
 * Makes a partition as a script asks, at the start of the slice where it does not say: partitions of a disklabel may overlap. Returns its index;
 * FsError where its letter is taken or it does not lie in the slice. (util-linux 2.38 also refuses a size that ends with the slice.)
 */
export function addBsdPartition(editor: BsdDisklabelEditor, template: PartitionTemplate): number {
  const { startSector: low, sectorCount } = bsdRange(editor);
  const end = low + sectorCount;
  const used = new Set(editor.partitions.filter((partition) => partition.used).map(({ index }) => index));
  let index = template.index ?? 0;
  if (template.index === undefined) while (used.has(index)) index++;
  if (index >= MAX_BSD_PARTITIONS || used.has(index)) throw new FsError('EINVAL');
  const start = template.startSector ?? low;
  if (start < low || start >= end) throw new FsError('EINVAL');
  const count = template.sectorCount ?? end - start;
  if (start + count > end) throw new FsError('EINVAL');
  const type = typeof template.type === 'number' ? template.type : BSD_UNUSED;
  editor.setPartition(index, { startSector: start, sectorCount: count, type });
  return index;
}
