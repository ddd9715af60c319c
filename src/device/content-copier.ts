/** Longest path of an outside file, bytes of UTF-8. */
export const MAX_OUTSIDE_PATH = 511;

/** A file outside of the device whose content is wanted on it. */
export interface OutsideFile {
  /** As this process names it; without bytes that are not UTF-8, and at most MAX_OUTSIDE_PATH long. */
  readonly path: string;
  /** Bytes, as they were counted when the place for them was taken. */
  readonly size: number;
}

/** Where a part of a file goes; all in bytes. */
export interface CopiedPiece {
  readonly fileOffset: number;
  readonly deviceOffset: number;
  readonly length: number;
  /** Zeros behind it. */
  readonly padding: number;
}

/**
 * Copies whole files to a device, without their content passing through whoever asks for it. It is done in the order in which it is
 * asked for, among all other writes: whatever is read, written or flushed afterwards finds it done.
 */
export interface ContentCopier {
  /** `pieces` are the whole file, in its order. */
  copy(file: OutsideFile, pieces: readonly CopiedPiece[]): void;
  /**
   * Files that could not be opened or read, or had another length than was said. Zeros are on the device where content is missing. With
   * `wait` all that was asked for is done first. Each is told once.
   */
  failed(options: { readonly wait: boolean }): readonly OutsideFile[];
}
