/**
 * Numbers of the NBD protocol, by their names in its specification (NetworkBlockDevice/nbd, doc/proto.md). All
 * integers on the wire are big-endian.
 */

/** `NBDMAGIC`, with which a server greets. */
export const NBD_MAGIC = [0x4e42444d, 0x41474943] as const;
/** `IHAVEOPT`: newstyle negotiation follows; also in front of each option of the client. */
export const NBD_OPTS_MAGIC = [0x49484156, 0x454f5054] as const;
/** In place of IHAVEOPT by servers of the oldstyle negotiation. */
export const NBD_OLDSTYLE_MAGIC = [0x00004202, 0x81861253] as const;
/** In front of each reply to an option. */
export const NBD_REP_MAGIC = [0x0003e889, 0x045565a9] as const;

export const NBD_REQUEST_MAGIC = 0x25609513;
export const NBD_EXTENDED_REQUEST_MAGIC = 0x21e41c71;
export const NBD_SIMPLE_REPLY_MAGIC = 0x67446698;
export const NBD_STRUCTURED_REPLY_MAGIC = 0x668e33ef;
export const NBD_EXTENDED_REPLY_MAGIC = 0x6e8a278c;

/** Handshake flags of the server, 16 bits. */
export const HandshakeFlag = { fixedNewstyle: 1 << 0, noZeroes: 1 << 1 } as const;
/** Client flags, 32 bits. */
export const ClientFlag = { fixedNewstyle: 1 << 0, noZeroes: 1 << 1 } as const;

/** Transmission flags: what an export can, 16 bits. */
export const ExportFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  sendResize: 1 << 9,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
  blockStatusPayload: 1 << 12,
} as const;

/** NBD_OPT_*: what a client asks for in the handshake. */
export const Option = {
  exportName: 1,
  abort: 2,
  list: 3,
  peekExport: 4,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

const ERROR = 0x8000_0000;

/** NBD_REP_*: answers to options. */
export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: ERROR + 1,
  policy: ERROR + 2,
  invalid: ERROR + 3,
  platform: ERROR + 4,
  tlsRequired: ERROR + 5,
  unknown: ERROR + 6,
  shutdown: ERROR + 7,
  blockSizeRequired: ERROR + 8,
  tooBig: ERROR + 9,
  extendedHeadersRequired: ERROR + 10,
} as const;

/** What the errors among `OptionReply` mean, for people. */
export const OPTION_ERRORS: Readonly<Record<number, string>> = {
  [OptionReply.unsupported]: 'the server does not know the option',
  [OptionReply.policy]: 'the server does not allow it',
  [OptionReply.invalid]: 'the server calls the request invalid',
  [OptionReply.platform]: 'the server cannot do it on its platform',
  [OptionReply.tlsRequired]: 'the server requires TLS (use nbds:// or nbds+unix://)',
  [OptionReply.unknown]: 'the server has no such export',
  [OptionReply.shutdown]: 'the server is shutting down',
  [OptionReply.blockSizeRequired]: 'the server requires that block sizes are asked for',
  [OptionReply.tooBig]: 'the server calls the request too big',
  [OptionReply.extendedHeadersRequired]: 'the server requires extended headers',
};

/** NBD_INFO_*: kinds of information about an export. */
export const Info = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** NBD_CMD_*: requests in the transmission phase. */
export const Command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
  resize: 8,
} as const;

/** NBD_CMD_FLAG_* of a request, 16 bits. */
export const CommandFlag = {
  fua: 1 << 0,
  noHole: 1 << 1,
  df: 1 << 2,
  reqOne: 1 << 3,
  fastZero: 1 << 4,
  payloadLength: 1 << 5,
} as const;

/** NBD_REPLY_FLAG_DONE: the last chunk of a reply. */
export const REPLY_FLAG_DONE = 1;

/** NBD_REPLY_TYPE_*: chunks of a structured reply. */
export const ReplyType = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  blockStatusExtended: 6,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;
/** Set in every type of an error chunk. */
export const REPLY_TYPE_ERROR = 0x8000;

/** The errno numbers that the protocol knows; everything else travels as EINVAL. */
export const NbdErrno = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** The metadata context whose status words say whether a range is allocated. */
export const BASE_ALLOCATION = 'base:allocation';
/** Status words of base:allocation. */
export const AllocationState = { hole: 1 << 0, zero: 1 << 1 } as const;

/** Port that IANA gave NBD. */
export const NBD_PORT = 10809;
/** Bytes of a name or description at most: NBD's own limit on strings. */
export const MAX_STRING = 4096;

/** Bytes of the headers. */
export const REQUEST_SIZE = 28;
export const EXTENDED_REQUEST_SIZE = 32;
export const SIMPLE_REPLY_SIZE = 16;
export const STRUCTURED_REPLY_SIZE = 20;
export const EXTENDED_REPLY_SIZE = 32;
