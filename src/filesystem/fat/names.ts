import type { Timestamp } from '../../bytes/time.ts';
import { zeroRange } from '../../device/block-device.ts';
import { FsError } from '../../errors.ts';
import { type CreateOptions, DosAttribute, type NodeId, type RenameOptions } from '../file-system.ts';
import { SETTABLE_ATTRIBUTES, withMode, writeTimes } from './attributes.ts';
import { ClusterChain } from './cluster-chain.ts';
import { SLOT_SIZE, ShortEntry } from './directory-entry.ts';
import { type Directory, slotsFor } from './directory.ts';
import { checkFileName } from './file-name.ts';
import { clusterOffset } from './geometry.ts';
import type { FatNode } from './node.ts';
import type { FatVolume } from './volume.ts';

/** What gives, takes and changes names: create, unlink, rename. */

export function createNode(
  volume: FatVolume,
  parentId: NodeId,
  name: string,
  options: CreateOptions,
): FatNode {
  const syscall = options.kind === 'directory' ? 'mkdir' : 'open';
  if (options.kind !== 'file' && options.kind !== 'directory') {
    throw new FsError('EPERM', { syscall: 'mknod', path: name, detail: `FAT cannot hold a ${options.kind}` });
  }
  const parent = liveDirectory(volume, parentId, syscall);
  checkFileName(name, syscall);
  if (parent.lookup(name) !== undefined) throw new FsError('EEXIST', { syscall, path: name });
  const now = volume.now();
  const entry = newEntry(volume, options, now);
  const slot = volume.reserveSlots(parent, slotsFor(name), syscall);
  let runs: number[] = [];
  if (options.kind === 'directory') {
    runs = volume.findClusters(1, 0, 1, syscall);
    zeroRange(volume.device, clusterOffset(volume.geometry, runs[0]!), volume.geometry.clusterSize);
  }
  const node = volume.nodes.add();
  node.expectedSize = options.expectedSize ?? 0;
  parent.insert(node, name, slot, entry);
  if (options.kind === 'directory') fillDirectory(volume, node, parent, runs);
  volume.touchDirectory(parent, now);
  volume.writeBack.changed();
  return node;
}

/** Fills the volume's scratch entry. */
function newEntry(volume: FatVolume, options: CreateOptions, now: Timestamp): Uint8Array {
  const { bytes, view } = volume.scratchEntry;
  bytes.fill(0);
  const isDirectory = options.kind === 'directory';
  let dos: number = isDirectory ? DosAttribute.directory : DosAttribute.archive;
  if (!isDirectory && options.mode !== undefined) dos = withMode(dos, options.mode);
  // What is given explicitly replaces the archive bit that new files have.
  if (options.dosAttributes !== undefined) {
    dos = (dos & ~DosAttribute.archive) | (options.dosAttributes & SETTABLE_ATTRIBUTES);
  }
  ShortEntry.DIR_Attr.set(view, 0, dos);
  const mtime = options.mtime ?? now;
  const times = { mtime, atime: options.atime ?? mtime, birthtime: options.birthtime ?? now };
  writeTimes(view, 0, times, volume.options.utcOffsetMinutes);
  return bytes;
}

/** Gives a new directory its cluster with `.` and `..`, which carry the times of the entry. */
function fillDirectory(volume: FatVolume, node: FatNode, parent: Directory, runs: number[]): void {
  const chain = new ClusterChain();
  volume.extendChain(node, chain, runs);
  const directory = volume.addDirectory(node, chain);
  const { storage } = directory;
  const entry = new Uint8Array(node.entryView.buffer, node.entryView.byteOffset + node.entryBase, SLOT_SIZE);
  storage.bytes.set(entry, 0);
  storage.bytes.set(entry, SLOT_SIZE);
  for (const [slot, name] of ['.', '..'].entries()) {
    const raw = ShortEntry.DIR_Name.get(storage.view, slot * SLOT_SIZE);
    raw.fill(0x20);
    raw.fill(0x2e, 0, name.length);
    ShortEntry.DIR_Attr.set(storage.view, slot * SLOT_SIZE, DosAttribute.directory);
  }
  directory.end = 2;
  storage.markDirty(0, 2);
  setDotDot(volume, directory, parent.node);
  volume.writeBack.directoryCreated(directory);
}

/** `..` names the parent's first cluster, 0 for the root, also on FAT32. */
function setDotDot(volume: FatVolume, directory: Directory, parent: FatNode): void {
  const { bytes, view } = directory.storage;
  // An odd volume may lack it.
  if (bytes[SLOT_SIZE] !== 0x2e || bytes[SLOT_SIZE + 1] !== 0x2e) return;
  const cluster = parent === volume.root ? 0 : parent.firstCluster;
  ShortEntry.DIR_FstClusLO.set(view, SLOT_SIZE, cluster & 0xffff);
  if (volume.geometry.type === 'fat32') ShortEntry.DIR_FstClusHI.set(view, SLOT_SIZE, cluster >>> 16);
  directory.storage.markDirty(1, 1);
}

/** A directory that still has a place in the tree. */
function liveDirectory(volume: FatVolume, id: NodeId, syscall: string): Directory {
  const directory = volume.directory(id, syscall);
  const { node } = directory;
  if (node !== volume.root && node.parent === undefined) {
    throw new FsError('ENOENT', { syscall, path: node.name, detail: 'the directory was removed' });
  }
  return directory;
}

/** Returns the node that the name led to. */
export function unlinkNode(volume: FatVolume, parentId: NodeId, name: string): NodeId {
  const parent = volume.directory(parentId, 'unlink');
  const node = parent.lookup(name);
  if (node === undefined) throw new FsError('ENOENT', { syscall: 'unlink', path: name });
  if (node.isDirectory) throw new FsError('EISDIR', { syscall: 'unlink', path: name });
  // A chain that cannot be freed is found before the name goes.
  volume.chainOf(node);
  takeOut(volume, parent, node);
  volume.touchDirectory(parent);
  volume.writeBack.changed();
  return node.id;
}

export function removeDirectoryNode(volume: FatVolume, parentId: NodeId, name: string): void {
  const parent = volume.directory(parentId, 'rmdir');
  const node = parent.lookup(name);
  if (node === undefined) throw new FsError('ENOENT', { syscall: 'rmdir', path: name });
  if (volume.directoryOf(node, 'rmdir').childCount > 0) {
    throw new FsError('ENOTEMPTY', { syscall: 'rmdir', path: name });
  }
  takeOut(volume, parent, node);
  volume.touchDirectory(parent);
  volume.writeBack.changed();
}

function takeOut(volume: FatVolume, parent: Directory, node: FatNode): void {
  parent.remove(node);
  if (node.retained === 0) volume.forget(node);
}

export function renameNode(
  volume: FatVolume,
  fromId: NodeId,
  name: string,
  toId: NodeId,
  newName: string,
  options: RenameOptions,
): void {
  const syscall = 'rename';
  const from = liveDirectory(volume, fromId, syscall);
  const to = liveDirectory(volume, toId, syscall);
  const node = from.lookup(name);
  if (node === undefined) throw new FsError('ENOENT', { syscall, path: name, dest: newName });
  const target = to.lookup(newName);
  const isSame = target === node;
  if (isSame && node.name === newName) {
    if (options.noReplace === true) throw new FsError('EEXIST', { syscall, path: name, dest: newName });
    return;
  }
  if (node.isDirectory) checkNotInside(volume, node, to.node, name, newName);
  if (target !== undefined && !isSame) {
    if (options.noReplace === true) throw new FsError('EEXIST', { syscall, path: name, dest: newName });
    checkReplaceable(volume, node, target, name, newName);
  }
  if (target !== undefined && target.name === newName) replaceTarget(volume, from, to, node, target);
  else {
    checkFileName(newName, syscall);
    moveTo(volume, from, to, node, isSame ? undefined : target, newName);
  }
  if (from !== to && node.isDirectory) {
    const directory = volume.directoryOf(node, syscall);
    if (!volume.writeBack.isFresh(directory)) directory.storage.keepDotDot();
    setDotDot(volume, directory, to.node);
  }
  volume.touchDirectory(from);
  if (from !== to) volume.touchDirectory(to);
  volume.writeBack.changed();
}

function checkNotInside(volume: FatVolume, node: FatNode, to: FatNode, name: string, newName: string): void {
  for (let at: FatNode | undefined = to; at !== undefined; at = at.parent?.node) {
    if (at === node) {
      throw new FsError('EINVAL', {
        syscall: 'rename',
        path: name,
        dest: newName,
        detail: 'a directory cannot move into itself',
      });
    }
  }
  // Needed for `..`; damage is found before anything changes.
  volume.directoryOf(node, 'rename');
}

function checkReplaceable(
  volume: FatVolume,
  node: FatNode,
  target: FatNode,
  name: string,
  newName: string,
): void {
  const details = { syscall: 'rename', path: name, dest: newName };
  if (!node.isDirectory) {
    if (target.isDirectory) throw new FsError('EISDIR', details);
    volume.chainOf(target);
    return;
  }
  if (!target.isDirectory) throw new FsError('ENOTDIR', details);
  if (volume.directoryOf(target, 'rename').childCount > 0) throw new FsError('ENOTEMPTY', details);
}

/** The target's slots stay where they are and name another file from one write to the next. */
function replaceTarget(
  volume: FatVolume,
  from: Directory,
  to: Directory,
  node: FatNode,
  target: FatNode,
): void {
  from.remove(node);
  to.replace(target, node, entryBytes(node), volume.writeBack.isFresh(target.directory));
  if (target.retained === 0) volume.forget(target);
}

function moveTo(
  volume: FatVolume,
  from: Directory,
  to: Directory,
  node: FatNode,
  target: FatNode | undefined,
  newName: string,
): void {
  const count = slotsFor(newName);
  const leaving = target === undefined ? [node] : [node, target];
  const slot = volume.reserveSlots(to, count, 'rename', leaving);
  from.remove(node);
  if (target !== undefined) takeOut(volume, to, target);
  to.insert(node, newName, slot, entryBytes(node));
  to.storage.arrive(slot, count);
}

/** The 32 bytes of a node that was taken out of its directory. */
function entryBytes(node: FatNode): Uint8Array {
  return new Uint8Array(node.entryView.buffer, node.entryView.byteOffset, SLOT_SIZE);
}
