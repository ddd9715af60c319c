/** What the two threads of a `WriteQueue` share. */
export interface QueueShared {
  /** Of the image. */
  readonly fd: number;
  /** Where the device starts in it, bytes. */
  readonly base: number;
  readonly control: Int32Array;
  /** ENTRY_WORDS a piece of work. */
  readonly entries: Int32Array;
  /** ENTRY_NUMBERS a piece of work: what may not fit in 32 bits. */
  readonly numbers: Float64Array;
  /** PATH_SIZE bytes a piece of work. */
  readonly paths: Uint8Array;
  /** SLOT_SIZE bytes a slot. */
  readonly data: Uint8Array;
  readonly layout: typeof QueueLayout;
}

/** Sizes and places of what is shared. */
export const QueueLayout = {
  entryCount: 1024,
  pathSize: 512,
  slotCount: 12,
  slotSize: 1 << 20,
  /** Bytes of files gathered into one write. */
  stageSize: 1 << 20,
  /** Zeros behind a piece: a block of a file system at most. */
  maxPadding: 1 << 16,
  /** As often, in bytes, what was written is started on its way to the disk, so that little is left for `flush`. */
  syncStep: 32 << 20,
  // Words of `control`.
  queued: 0,
  /** Pieces of work that are done. */
  written: 1,
  errno: 2,
  running: 3,
  /** The other thread sleeps until so many are done. */
  wanted: 4,
  sleeping: 5,
  controlWords: 6,

  // Words of an entry.
  kind: 0,
  /** A kind: content that lies in a slot. */
  content: 0,
  /** A kind: a piece of a file. */
  piece: 1,
  /** A kind: nothing more will come. */
  end: 2,
  /** Where the content starts in the slots, bytes. */
  start: 1,
  /** Bytes of the path; 0 when it is the file of the entry before. */
  pathLength: 2,
  /** The last piece of its file. */
  isLast: 3,
  /** Set to 1 when the file could not be read as it was expected. */
  failed: 4,
  entryWords: 5,

  // Numbers of an entry, bytes.
  offset: 0,
  length: 1,
  fileOffset: 2,
  padding: 3,
  entryNumbers: 4,
} as const;

/**
 * What the second thread does. Its text is handed to the thread, which works the same from the sources, from the built
 * library and from the bundle; so it may use nothing from outside of itself.
 */
export function writeQueued(): void {
  const fs = process.getBuiltinModule('node:fs');
  const { workerData } = process.getBuiltinModule('node:worker_threads');
  const { fd, base, control, entries, numbers, paths, data, layout } = workerData as QueueShared;
  const { O_RDONLY, O_NOFOLLOW } = fs.constants;
  const pathBytes = Buffer.from(paths.buffer, paths.byteOffset, paths.length);
  // One more byte, by which a file is seen to go on where it should end.
  const stage = new Uint8Array(layout.stageSize + 1);
  let stageOffset = 0;
  let stageLength = 0;
  let source = -1;
  let unsynced = 0;

  function write(offset: number, from: Uint8Array, start: number, length: number): void {
    try {
      for (let done = 0; done < length && control[layout.errno] === 0;) {
        done += fs.writeSync(fd, from, start + done, length - done, base + offset + done);
      }
    } catch (error) {
      const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : -5;
      Atomics.store(control, layout.errno, errno === 0 ? 5 : Math.abs(errno));
    }
    unsynced += length;
    if (unsynced < layout.syncStep) return;
    unsynced = 0;
    // On a thread of libuv's, while this one goes on writing. Its outcome does not matter here: `flush` syncs again.
    fs.fdatasync(fd, () => {});
  }

  function flushStage(): void {
    if (stageLength > 0) write(stageOffset, stage, 0, stageLength);
    stageLength = 0;
  }

  /** Everything before `index` is done. */
  function publish(index: number): void {
    flushStage();
    if (Atomics.load(control, layout.written) === index) return;
    Atomics.store(control, layout.written, index);
    const wanted = Atomics.load(control, layout.wanted);
    if (wanted > 0 && index >= wanted) {
      Atomics.store(control, layout.wanted, 0);
      Atomics.notify(control, layout.written);
    }
  }

  /** Returns when there is more to do than `index`. */
  function wait(index: number): void {
    Atomics.store(control, layout.sleeping, 1);
    while (Atomics.load(control, layout.queued) === index) Atomics.wait(control, layout.queued, index);
    Atomics.store(control, layout.sleeping, 0);
  }

  /** Fills `length` bytes of the stage at `at`. False when the file does not have them, or has more although it should end there. */
  function readPiece(at: number, length: number, fileOffset: number, isEnd: boolean): boolean {
    let done = 0;
    try {
      while (source >= 0 && done < length) {
        const wanted = length - done + (isEnd ? 1 : 0);
        const count = fs.readSync(source, stage, at + done, wanted, fileOffset + done);
        if (count === 0) break;
        done += count;
      }
    } catch {
      // As good as not there: whoever asked for it tries again and sees the error.
    }
    if (done < length) stage.fill(0, at + done, at + length);
    return done === length;
  }

  function copyPiece(index: number, entry: number, number: number): boolean {
    const offset = numbers[number + layout.offset]!;
    const length = numbers[number + layout.length]!;
    const fileOffset = numbers[number + layout.fileOffset]!;
    const padding = numbers[number + layout.padding]!;
    const isLast = entries[entry + layout.isLast] === 1;
    const room = padding === 0 ? layout.stageSize : layout.stageSize - layout.maxPadding;
    let isSound = true;
    for (let done = 0; done < length;) {
      const part = Math.min(length - done, room);
      const isEnd = done + part === length;
      const needed = part + (isEnd ? padding : 0);
      const follows = stageOffset + stageLength === offset + done;
      if (!follows || stageLength + needed > layout.stageSize) publish(index);
      if (stageLength === 0) stageOffset = offset + done;
      if (!readPiece(stageLength, part, fileOffset + done, isEnd && isLast)) isSound = false;
      if (isEnd) stage.fill(0, stageLength + part, stageLength + needed);
      stageLength += needed;
      done += part;
    }
    return isSound;
  }

  function open(index: number, entry: number): void {
    const length = entries[entry + layout.pathLength]!;
    if (length === 0) return;
    const start = (index % layout.entryCount) * layout.pathSize;
    try {
      source = fs.openSync(pathBytes.toString('utf8', start, start + length), O_RDONLY | O_NOFOLLOW);
    } catch {
      source = -1;
    }
  }

  function close(): void {
    if (source >= 0) fs.closeSync(source);
    source = -1;
  }

  Atomics.store(control, layout.running, 1);
  for (let index = 0; ; index++) {
    if (Atomics.load(control, layout.queued) === index) {
      publish(index);
      wait(index);
    }
    const entry = (index % layout.entryCount) * layout.entryWords;
    const number = (index % layout.entryCount) * layout.entryNumbers;
    const kind = entries[entry + layout.kind];
    if (kind === layout.piece) {
      // After a failed write nothing is done any more.
      if (control[layout.errno] === 0) {
        open(index, entry);
        if (!copyPiece(index, entry, number)) entries[entry + layout.failed] = 1;
        if (entries[entry + layout.isLast] === 1) close();
      }
      if (stageLength === 0) publish(index + 1);
      continue;
    }
    publish(index);
    if (kind === layout.content) {
      const start = entries[entry + layout.start]!;
      write(numbers[number + layout.offset]!, data, start, numbers[number + layout.length]!);
    }
    publish(index + 1);
    if (kind === layout.end) return;
  }
}
