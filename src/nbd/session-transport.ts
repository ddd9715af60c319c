/** First byte of the buffers that is used: copies whose ends lie 1 to 31 bytes apart in their pages are slow, and so long are headers. */
export const BUFFER_START = 64;

/**
 * What a session stands on: memory of a fixed size that it and its driver share, a way out, and shortcuts where there
 * are some. The driver puts what it receives at `input[session.inputEnd …)` and calls `process`.
 */
export interface SessionTransport {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  /** Sends all of `output[start, end)`; when it returns the bytes may be overwritten. */
  send(start: number, end: number): void;
  readonly shortcuts?: Shortcuts;
  /** Offset of the export's first byte in its file, modulo the page: copies between equal places of a page are fastest. */
  readonly filePhase?: number;
}

/**
 * Ways past the device, straight between the file behind it and the buffers or the socket. Offsets are bytes of the export,
 * within its bounds. A write through a shortcut is noted where writes of the device are.
 */
export interface Shortcuts {
  /** Are they allowed now? Asked before each use. */
  readonly isOpen: boolean;
  /** Into `output` at `at`. False when it has not all been read: then the device is asked, which says why. */
  read(offset: number, at: number, length: number): boolean;
  /** From `input` at `at`. */
  write(offset: number, at: number, length: number): boolean;
  /** Makes what was written durable. */
  flush(): boolean;
  /** From the file to the socket; gives the bytes that were sent, fewer when the file cannot be read. */
  sendFile?(offset: number, length: number): number;
  /** From the socket to the file; gives the bytes that were taken from the socket, and whether all went well with them. */
  receiveToFile?(offset: number, length: number): { readonly taken: number; readonly ok: boolean };
  /** Has the host start to read the range, which will be wanted soon. */
  prefetch?(offset: number, length: number): void;
}

/** What was agreed on, as far as the transmission phase needs it. */
export interface SessionTerms {
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  readonly baseAllocation: boolean;
  /** `ExportFlag`s. */
  readonly flags: number;
}
