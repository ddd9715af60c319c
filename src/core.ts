/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The part of userloop that needs no Node: devices in memory, partition tables, file systems, whole images. It is
 * synchronous and runs in a browser's worker as it is. `userloop` (src/index.ts) adds files, clocks and Buffers.
 */
export {
  type BlockDevice,
  type Extent,
  discardRange,
  extentsOf,
  readBytes,
  zeroRange,
} from './device/block-device.ts';
export { MemoryDevice, type MemoryDeviceOptions } from './device/memory-device.ts';
export { SliceDevice } from './device/slice-device.ts';
export { CacheDevice } from './device/cache-device.ts';

export { DiskImage, type DiskImageOptions, type Partition } from './disk/disk-image.ts';
export { type MbrPartition, type MbrTable, readMbr } from './partition/mbr.ts';
export { type GptPartition, type GptTable, readGpt } from './partition/gpt.ts';
export { type Table, type TablePartition, readTable } from './partition/table.ts';
export {
  type AddOptions,
  type Amount,
  type CreateTableOptions,
  type EntryAttributes,
  PartitionTable,
  type ResizeOptions,
  type TableEntry,
  type TableKind,
} from './partition/partition-table.ts';
export type { Alignment } from './partition/placement.ts';
export { checkTable } from './partition/table-check.ts';
export {
  type MendPlan,
  type MendPlanOptions,
  type TableMend,
  applyMends,
  planMends,
} from './partition/table-mend.ts';
export type { TableFault, TableFinding } from './partition/table-finding.ts';
export { MbrEditor } from './partition/mbr-editor.ts';

export type {
  AttributeChanges,
  Attributes,
  Capabilities,
  CreateOptions,
  DeviceNumber,
  DirectoryEntry,
  FileSystem,
  FileSystemDriver,
  FileSystemType,
  NodeId,
  NodeKind,
  OpenOptions,
  Placement,
  RenameOptions,
  Usage,
} from './filesystem/file-system.ts';
export { DosAttribute } from './filesystem/file-system.ts';
export { openFileSystem, probeFileSystem } from './filesystem/drivers.ts';
export { findPath, resolveParent, resolvePath } from './filesystem/path.ts';
export { formatFat, type FatFormatOptions } from './filesystem/fat/format.ts';
export { formatExt } from './filesystem/ext/format/format.ts';
export type { FormatExtOptions } from './filesystem/ext/format/parameters.ts';
export { type Face, plainNodeFs } from './filesystem/node-fs/face.ts';
export type { NodeFsOptions } from './filesystem/node-fs/context.ts';

export {
  CorruptImageError,
  type ErrnoCode,
  type Finding,
  FsError,
  UnsupportedError,
  describeFinding,
  hasCode,
  isOwnError,
} from './errors.ts';
export {
  type Clock,
  type Timestamp,
  fixedClock,
  millisecondsOf,
  timestampFromMilliseconds,
} from './bytes/time.ts';
export { type RandomSource, formatUuid, parseUuid, randomUuid } from './bytes/uuid.ts';
