import { viewOf } from '../../../bytes/struct.ts';
import { counted } from '../../check.ts';
import { DosAttribute } from '../../file-system.ts';
import { ShortEntry } from '../directory-entry.ts';
import { giveUp, type FatCheck } from './context.ts';

/** Only files can be brought back. */
export function refuseDirectory({ observer }: FatCheck, raw: Uint8Array): void {
  const view = viewOf(raw);
  if ((ShortEntry.DIR_Attr.get(view, 0) & DosAttribute.directory) !== 0) {
    giveUp(observer, {
      code: 'fat-undelete-directory',
      structure: 'directory entry',
      field: 'DIR_Attr',
      found: 'a directory',
      expected: 'a file',
      meaning: 'A deleted directory cannot be brought back: only files can',
      toolText: "Can't undelete directories.\n",
    });
  }
}

/**
 * Gives a deleted file as many clusters as its size takes, one after the other from its first one on, as long as they are free: DOS leaves nothing of the chain.
 * dosfstools 4.2 asks whether they are in use instead, so that it finds none, or takes those of another file.
 */
export function restoreChain(check: FatCheck, raw: Uint8Array): void {
  const { table, geometry, observer } = check;
  const view = viewOf(raw);
  const high = geometry.type === 'fat32' ? ShortEntry.DIR_FstClusHI.get(view, 0) * 0x10000 : 0;
  const count = Math.ceil(ShortEntry.DIR_FileSize.get(view, 0) / geometry.clusterSize);
  let left = count;
  let previous = 0;
  for (
    let cluster = ShortEntry.DIR_FstClusLO.get(view, 0) + high;
    left > 0 && table.isLink(cluster) && table.get(cluster) === 0;
    cluster++, left--
  ) {
    if (previous !== 0) table.set(previous, cluster);
    previous = cluster;
    table.set(cluster, table.codec.endMinimum);
  }
  if (previous === 0) {
    ShortEntry.DIR_FstClusLO.set(view, 0, 0);
    if (geometry.type === 'fat32') ShortEntry.DIR_FstClusHI.set(view, 0, 0);
  }
  if (left > 0)
    observer.tell(`Warning: Did only undelete ${count - left} of ${counted(count, 'cluster')}.\n`);
}
