/** Where things are in the memory that all threads of a device's process share: device-share.ts, device-gate.ts. */

/** Int32 words of a share's state. Bytes 0 to 7 are the size of the device as a Float64. */
export const ShareWord = {
  /** Counts changes of sectors that hold the partition table. Notified on each. */
  tableGeneration: 2,
  /** The generation whose names are in place. Notified on each change. */
  publishedGeneration: 3,
  /** How many file systems are mounted from the device. */
  mounts: 4,
  /** Open handles of device files whose pages the kernel caches. */
  cachedHandles: 5,
  /** Of the list that follows. */
  tableSectorCount: 6,
  /** Counts writes through the block view, any thread; tells an idle device from a busy one. */
  writes: 7,
  /** Bytes, once it has been changed; 0: as the share says. */
  sectorSize: 8,
  /** Once it has been changed: 1 read-only, 2 writable; 0: as the share says. */
  readOnly: 9,
} as const;

/** Byte offset in a share's state of the list of 512-byte blocks, besides those at both ends, that hold the table: EBRs. Float64 each. */
export const TABLE_LIST = 64;
export const TABLE_LIST_LENGTH = 252;
/** Byte offset in a share's state of the gates. */
export const GATES_OFFSET = TABLE_LIST + TABLE_LIST_LENGTH * 8;
export const GATE_COUNT = 32;
/** With room for the longest path. */
export const GATE_BYTES = 64 + 4096;
