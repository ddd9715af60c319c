import type { BlockDevice } from '../../../device/block-device.ts';
import type { CheckObserver } from '../../check.ts';
import { CODE_PAGES } from '../code-page.ts';
import type { FatGeometry } from '../geometry.ts';
import { BootSectorChanged } from './boot-backup.ts';
import { checkBoot } from './boot-pass.ts';
import type { FatCheck, FatCheckOptions, FatCheckResult } from './context.ts';
import { reclaimLost } from './lost-clusters.ts';
import { NamedFiles } from './named-files.ts';
import { ClusterOwners } from './owners.ts';
import { checkDirty, checkFreeCount, checkLabels } from './summary-pass.ts';
import { checkCopies, checkLinks } from './table-pass.ts';
import { CheckedTable } from './table.ts';
import { checkTree } from './tree-pass.ts';
import { markUnreadable } from './unreadable-clusters.ts';

export type { FatCheckOptions, FatCheckResult } from './context.ts';

/**
 * Checks a FAT file system, in the order of dosfstools: boot sector, copies of the FAT, links out of range, the tree with its chains, what is lost,
 * labels, the dirty mark, free space. Each pass relies on what those before it have mended on `device`, which is a staging device where
 * nothing is to be written yet. Throws CheckEnd when a fatal finding was reported. Undefined with `bootOnly`.
 *
 * Time and memory grow with the number of clusters: 4 bytes each that is in use, 1 bit each with `salvage`.
 */
export function checkFat(
  device: BlockDevice,
  observer: CheckObserver,
  options: FatCheckOptions = {},
): FatCheckResult | undefined {
  const geometry = checkBootTwice(device, observer, options);
  options.onStart?.();
  if (options.bootOnly === true) return undefined;
  const wanted = options.table ?? 0;
  const table = new CheckedTable(device, geometry, wanted === 2 ? 1 : 0);
  checkCopies(device, geometry, table, wanted, observer);
  const check: FatCheck = {
    device,
    geometry,
    table,
    owners: new ClusterOwners(),
    observer,
    options,
    codePage: options.codePage ?? CODE_PAGES[850],
    named: new NamedFiles(options.drop, options.undelete),
  };
  checkLinks(check);
  const fileCount = checkTree(check);
  if (options.testsClusters === true) markUnreadable(check);
  const salvaged = reclaimLost(check);
  checkLabels(check);
  checkDirty(check);
  const free = checkFreeCount(check);
  for (const [kind, name] of check.named.missed()) observer.tell(`Warning: did not ${kind} file ${name}\n`);
  return {
    fileCount: fileCount + salvaged,
    usedClusters: geometry.clusterCount - free,
    clusterCount: geometry.clusterCount,
  };
}

/** Once more when the boot sector was replaced by its copy. */
function checkBootTwice(
  device: BlockDevice,
  observer: CheckObserver,
  { onBoot }: FatCheckOptions,
): FatGeometry {
  try {
    return checkBoot(device, observer, onBoot);
  } catch (error) {
    if (!(error instanceof BootSectorChanged)) throw error;
    return checkBoot(device, observer, onBoot);
  }
}
