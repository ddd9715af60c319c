import { type Extent, extentsOf, zeroRange } from '../../device/block-device.ts';
import type { ContentCopier, CopiedPiece, OutsideFile } from '../../device/content-copier.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import type { Placement } from '../file-system.ts';
import type { ClusterChain } from './cluster-chain.ts';
import { ShortEntry } from './directory-entry.ts';
import { MAX_PADDING } from './content-writer.ts';
import { clusterOffset } from './geometry.ts';
import type { FatNode } from './node.ts';
import { type FatVolume, MAX_FILE_SIZE } from './volume.ts';

const NO_RUNS: readonly number[] = [];

/** Below this many bytes nobody saves anything by knowing holes. */
const MIN_SPARSE_SIZE = 1 << 16;

/** Reads what there is from `offset` on; returns the bytes read. */
export function readContent(volume: FatVolume, node: FatNode, offset: number, into: Uint8Array): number {
  const length = Math.min(into.length, node.size - offset);
  if (length <= 0) return 0;
  const chain = completeChain(volume, node);
  volume.content.flush();
  for (let done = 0; done < length;) {
    const count = pieceLength(volume, chain, offset + done, length - done);
    const part = count === into.length ? into : into.subarray(done, done + count);
    volume.device.read(placeOf(volume, chain, offset + done), part);
    done += count;
  }
  return length;
}

/** Writes all of `from` at `offset`; content first, then the table, then the entry. */
export function writeContent(volume: FatVolume, node: FatNode, offset: number, from: Uint8Array): void {
  if (from.length === 0) return;
  const end = offset + from.length;
  checkSize(end, 'write', node);
  const chain = completeChain(volume, node);
  if (end > node.size) grow(volume, node, chain, end, offset, from, 'write');
  else writePieces(volume, chain, offset, from);
  volume.stampModified(node, volume.now());
  volume.writeBack.changed();
}

/** The whole content of an empty file; the copier brings it, and zeros for what little there is behind it. */
export function fillContent(
  volume: FatVolume,
  node: FatNode,
  file: OutsideFile,
  copier: ContentCopier,
): void {
  const { size } = file;
  const { clusterSize } = volume.geometry;
  checkSize(size, 'write', node);
  const chain = completeChain(volume, node);
  const runs = volume.findClusters(Math.ceil(size / clusterSize), 0, Math.ceil(size / clusterSize), 'write');
  const pieces: CopiedPiece[] = [];
  let fileOffset = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const room = runs[i + 1]! * clusterSize;
    const length = Math.min(room, size - fileOffset);
    // As much as lets the next file follow on.
    const padding = room - length < MAX_PADDING ? room - length : 0;
    pieces.push({ fileOffset, deviceOffset: clusterOffset(volume.geometry, runs[i]!), length, padding });
    fileOffset += length;
  }
  volume.content.flush();
  copier.copy(file, pieces);
  volume.extendChain(node, chain, runs);
  setSize(node, size);
  volume.writeBack.changed();
}

/** Makes a file shorter or longer; what is added holds zeros, since FAT has no holes. */
export function resizeContent(volume: FatVolume, node: FatNode, size: number): void {
  checkSize(size, 'truncate', node);
  if (size === node.size) return;
  const chain = completeChain(volume, node);
  if (size > node.size) grow(volume, node, chain, size, size, undefined, 'truncate');
  else {
    setSize(node, size);
    volume.shortenChain(node, chain, Math.ceil(size / volume.geometry.clusterSize));
  }
  volume.stampModified(node, volume.now());
  volume.writeBack.changed();
}

/** The content as data and zeros. FAT has no holes, but the device below may know that it holds none of it. */
export function* contentExtents(volume: FatVolume, node: FatNode): Iterable<Extent> {
  const { size } = node;
  if (size === 0) return;
  if (size < MIN_SPARSE_SIZE) {
    completeChain(volume, node);
    yield { offset: 0, length: size, kind: 'data' };
    return;
  }
  let offset = 0;
  let pending: { offset: number; length: number; kind: 'data' | 'zero' } | undefined;
  for (const { deviceOffset, length } of contentPlacement(volume, node)) {
    for (const extent of extentsOf(volume.device, deviceOffset, length)) {
      const kind = extent.kind === 'data' ? 'data' : 'zero';
      if (pending?.kind === kind) pending.length += extent.length;
      else {
        if (pending !== undefined) yield pending;
        pending = { offset, length: extent.length, kind };
      }
      offset += extent.length;
    }
  }
  if (pending !== undefined) yield pending;
}

/** Where the content lies, in file order. */
export function contentPlacement(volume: FatVolume, node: FatNode): Placement[] {
  const placements: Placement[] = [];
  const chain = completeChain(volume, node);
  volume.content.flush();
  const { size } = node;
  for (let fileOffset = 0; fileOffset < size;) {
    const length = pieceLength(volume, chain, fileOffset, size - fileOffset);
    placements.push({ fileOffset, deviceOffset: placeOf(volume, chain, fileOffset), length });
    fileOffset += length;
  }
  return placements;
}

function checkSize(size: number, syscall: string, node: FatNode): void {
  if (size <= MAX_FILE_SIZE) return;
  throw new FsError('EFBIG', {
    syscall,
    path: node.name,
    detail: `a file of ${size} bytes is larger than FAT's limit of ${MAX_FILE_SIZE}`,
  });
}

/** The chain of a file, which holds at least its size. */
function completeChain(volume: FatVolume, node: FatNode): ClusterChain {
  const chain = volume.chainOf(node);
  const needed = Math.ceil(node.size / volume.geometry.clusterSize);
  if (chain.count >= needed) return chain;
  throw new CorruptImageError({
    structure: 'FAT',
    field: `chain of "${node.name}"`,
    found: `${chain.count} clusters`,
    expected: `at least ${needed} for its size of ${node.size} bytes`,
  });
}

function setSize(node: FatNode, size: number): void {
  ShortEntry.DIR_FileSize.set(node.entryView, node.entryBase, size);
  node.touch();
}

/**
 * Makes a file longer: `size` bytes in the end, with `from` at `offset` and zeros between its former end and there.
 * The clusters are found first, so that ENOSPC changes nothing, filled next, and become the file's last.
 */
function grow(
  volume: FatVolume,
  node: FatNode,
  chain: ClusterChain,
  size: number,
  offset: number,
  from: Uint8Array | undefined,
  syscall: string,
): void {
  const { clusterSize } = volume.geometry;
  const missing = Math.ceil(size / clusterSize) - chain.count;
  let runs: readonly number[] = NO_RUNS;
  if (missing > 0) {
    // The table still joins what was cut off to the chain.
    if (node.isCut) volume.writeBack.commit();
    const wish = Math.ceil(node.expectedSize / clusterSize) - chain.count;
    const preferred = chain.count === 0 ? 0 : chain.lastCluster + 1;
    runs = volume.findClusters(missing, preferred, Math.max(missing, wish), syscall);
  }
  const formerCount = chain.count;
  for (let i = 0; i < runs.length; i += 2) chain.append(runs[i]!, runs[i + 1]!);
  try {
    zeroPieces(volume, chain, node.size, offset);
    if (from !== undefined) writePieces(volume, chain, offset, from);
  } finally {
    // Not the file's before the table says so, which also keeps it whole after a failed write.
    chain.cut(formerCount);
  }
  if (runs.length > 0) {
    volume.extendChain(node, chain, runs);
    if (from !== undefined) volume.content.pad(clusterOffset(volume.geometry, chain.lastCluster + 1));
  }
  setSize(node, size);
}

function writePieces(volume: FatVolume, chain: ClusterChain, offset: number, from: Uint8Array): void {
  for (let done = 0; done < from.length;) {
    const count = pieceLength(volume, chain, offset + done, from.length - done);
    const part = count === from.length ? from : from.subarray(done, done + count);
    volume.content.write(placeOf(volume, chain, offset + done), part);
    done += count;
  }
}

function zeroPieces(volume: FatVolume, chain: ClusterChain, start: number, end: number): void {
  if (start >= end) return;
  volume.content.flush();
  for (let offset = start; offset < end;) {
    const count = pieceLength(volume, chain, offset, end - offset);
    zeroRange(volume.device, placeOf(volume, chain, offset), count);
    offset += count;
  }
}

/** Where the byte at `offset` of the file lies on the device. */
function placeOf(volume: FatVolume, chain: ClusterChain, offset: number): number {
  const { geometry } = volume;
  const run = chain.runAt(Math.floor(offset / geometry.clusterSize));
  const within = offset - chain.runFirst(run) * geometry.clusterSize;
  return clusterOffset(geometry, chain.runStart(run)) + within;
}

/** How many of the `length` bytes from `offset` on lie in one piece. */
function pieceLength(volume: FatVolume, chain: ClusterChain, offset: number, length: number): number {
  const { clusterSize } = volume.geometry;
  const run = chain.runAt(Math.floor(offset / clusterSize));
  const end = (chain.runFirst(run) + chain.runLength(run)) * clusterSize;
  return Math.min(length, end - offset);
}
