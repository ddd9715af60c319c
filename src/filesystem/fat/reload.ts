import { readBytes } from '../../device/block-device.ts';
import { isOwnError } from '../../errors.ts';
import { checkBootSector } from './boot-sector-check.ts';
import { BootSector } from './boot-sector.ts';
import type { Directory } from './directory.ts';
import { SLOT_SIZE } from './directory-entry.ts';
import { geometryOf } from './geometry.ts';
import type { FatNode } from './node.ts';
import type { FatVolume } from './volume.ts';

/**
 * Takes a volume anew from a device to which somebody else has written. Directories that were read are read again, and what is found under its
 * old name stays the same node. What was unlinked but is still retained keeps its clusters.
 */
export function reloadVolume(volume: FatVolume): void {
  if (!hasSameGeometry(volume)) volume.nodes.isReplaced = true;
  if (volume.isReplaced) return;
  volume.table.clear();
  volume.state.forgetFreeCount();
  volume.forgetChains();
  const former = volume.root.directory;
  for (const node of volume.nodes.all()) {
    if (node.parent !== undefined || node === volume.root) node.chain = undefined;
  }
  volume.root.directory = undefined;
  if (former !== undefined) reread(volume, volume.root, former);
}

function hasSameGeometry(volume: FatVolume): boolean {
  const sector = readBytes(volume.device, 0, BootSector.$size);
  if (checkBootSector(sector, volume.device.size).some((finding) => finding.severity === 'refuse'))
    return false;
  return JSON.stringify(geometryOf(sector)) === JSON.stringify(volume.geometry);
}

/** Reads the directory of `node` again; `former` is what it was. */
function reread(volume: FatVolume, node: FatNode, former: Directory): void {
  const children = new Map<string, FatNode>();
  for (const child of former.children()) {
    // The entry as it was tells the kind; its place is read anew.
    const { buffer, byteOffset } = child.entryView;
    child.detach(new Uint8Array(buffer, byteOffset + child.entryBase, SLOT_SIZE).slice());
    children.set(child.name, child);
  }
  try {
    volume.directoryOf(node, 'reload', children);
  } catch (error) {
    // In the middle of being rewritten, it may be: nothing of it is known until it is read again.
    if (!isOwnError(error)) throw error;
    node.directory = undefined;
  }
  for (const child of children.values()) drop(volume, child);
  for (const child of node.directory?.children() ?? []) {
    const below = child.directory;
    child.directory = undefined;
    if (below !== undefined) reread(volume, child, below);
  }
}

/** A node whose entry is gone, with all below it. */
function drop(volume: FatVolume, node: FatNode): void {
  for (const child of node.directory?.children() ?? []) {
    const { buffer, byteOffset } = child.entryView;
    child.detach(new Uint8Array(buffer, byteOffset + child.entryBase, SLOT_SIZE).slice());
    drop(volume, child);
  }
  node.directory = undefined;
  node.isStale = true;
  if (node.retained === 0) volume.nodes.remove(node);
}
