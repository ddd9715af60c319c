import {
  BASE_ALLOCATION,
  ClientFlag,
  HandshakeFlag,
  Info,
  MAX_STRING,
  NBD_MAGIC,
  NBD_OLDSTYLE_MAGIC,
  NBD_OPTS_MAGIC,
  NBD_REP_MAGIC,
  OPTION_ERRORS,
  Option,
  OptionReply,
} from './protocol.ts';
import { MessageReader, MessageWriter } from './wire.ts';

/** What a handshake wants done next, whatever the transport. */
export type HandshakeStep =
  /** Send all of it. */
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  /** Go on with exactly so many bytes from the peer. */
  | { readonly kind: 'receive'; readonly length: number }
  /** Everything from here on is in TLS. */
  | { readonly kind: 'startTls' };

/** A handshake as a dialogue: `next()` gets what the last step asked for. */
export type Handshake<Result> = Generator<HandshakeStep, Result, Uint8Array | undefined>;

export interface ClientHandshakeOptions {
  readonly exportName: string;
  /** `require`: end when the server does not want TLS. */
  readonly tls: 'none' | 'require';
  /** Default true. */
  readonly structuredReplies?: boolean;
  /** Default true. */
  readonly extendedHeaders?: boolean;
  /** Default true. */
  readonly baseAllocation?: boolean;
}

/** What was agreed on with the server. */
export interface NegotiatedExport {
  /** Bytes. */
  readonly size: number;
  /** `ExportFlag`s. */
  readonly flags: number;
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  /** The id of the context base:allocation, where the server has it. */
  readonly baseAllocation: number | undefined;
  /** Bytes; what the server has said, or what the protocol says where it has not. */
  readonly minimumBlock: number;
  readonly preferredBlock: number;
  readonly maximumPayload: number;
}

/** The server does not speak the protocol, or does not give what was asked for. */
export class NbdProtocolError extends Error {
  override readonly name = 'NbdProtocolError';
}

/** Without a word from the server, requests up to here are safe (doc/proto.md, "Block size constraints"). */
const DEFAULT_MAXIMUM = 32 << 20;
/** Answers to one option that are read at most; a server has no use for more. */
const MAX_REPLIES = 1024;
const MAX_REPLY_LENGTH = 64 << 10;

interface Reply {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** The client's side of the fixed newstyle negotiation, up to the transmission phase. */
export function* clientHandshake(options: ClientHandshakeOptions): Handshake<NegotiatedExport> {
  const noZeroes = yield* greeting();
  if (options.tls === 'require') {
    const [reply] = yield* ask(Option.startTls);
    if (reply?.type !== OptionReply.ack) throw refused('TLS', reply);
    yield { kind: 'startTls' };
  }
  let extendedHeaders = false;
  let structuredReplies = false;
  if (options.extendedHeaders !== false) extendedHeaders = yield* agrees(Option.extendedHeaders);
  // Extended headers imply structured replies.
  if (extendedHeaders) structuredReplies = true;
  else if (options.structuredReplies !== false) structuredReplies = yield* agrees(Option.structuredReply);
  const baseAllocation =
    structuredReplies && options.baseAllocation !== false
      ? yield* askForContext(options.exportName)
      : undefined;
  const agreed = { structuredReplies, extendedHeaders, baseAllocation };
  return (yield* go(options.exportName, agreed)) ?? (yield* exportName(options.exportName, agreed, noZeroes));
}

/** Names of the server's exports. */
export function* clientList(options: Pick<ClientHandshakeOptions, 'tls'>): Handshake<string[]> {
  yield* greeting();
  if (options.tls === 'require') {
    const [reply] = yield* ask(Option.startTls);
    if (reply?.type !== OptionReply.ack) throw refused('TLS', reply);
    yield { kind: 'startTls' };
  }
  const replies = yield* ask(Option.list);
  const last = replies.at(-1)!;
  if (last.type !== OptionReply.ack) throw refused('a list of exports', last);
  yield { kind: 'send', bytes: optionMessage(Option.abort) };
  return replies
    .filter(({ type }) => type === OptionReply.server)
    .map(({ payload }) => {
      const name = new MessageReader(payload).string(MAX_STRING);
      if (name === undefined) throw new NbdProtocolError('The server lists an export without a proper name');
      return name;
    });
}

type Agreed = Pick<NegotiatedExport, 'structuredReplies' | 'extendedHeaders' | 'baseAllocation'>;

function* greeting(): Handshake<boolean> {
  const hello = new MessageReader((yield { kind: 'receive', length: 16 })!);
  if (!hello.isMagic(NBD_MAGIC)) throw new NbdProtocolError('What answers is not an NBD server');
  const high = hello.u32();
  const low = hello.u32();
  if (high === NBD_OLDSTYLE_MAGIC[0] && low === NBD_OLDSTYLE_MAGIC[1])
    throw new NbdProtocolError('The server speaks the oldstyle negotiation only, which is not supported');
  if (high !== NBD_OPTS_MAGIC[0] || low !== NBD_OPTS_MAGIC[1])
    throw new NbdProtocolError('What answers is not an NBD server');
  const flags = new MessageReader((yield { kind: 'receive', length: 2 })!).u16()!;
  if ((flags & HandshakeFlag.fixedNewstyle) === 0)
    throw new NbdProtocolError('The server does not speak the fixed newstyle negotiation');
  const noZeroes = (flags & HandshakeFlag.noZeroes) !== 0;
  const reply = ClientFlag.fixedNewstyle | (noZeroes ? ClientFlag.noZeroes : 0);
  yield { kind: 'send', bytes: new MessageWriter().u32(reply).finish() };
  return noZeroes;
}

function optionMessage(option: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new MessageWriter().magic(NBD_OPTS_MAGIC).u32(option).u32(payload.length).bytes(payload).finish();
}

/** Sends an option and collects its replies, of which the last is an acknowledgement or an error. */
function* ask(option: number, payload?: Uint8Array): Handshake<Reply[]> {
  yield { kind: 'send', bytes: optionMessage(option, payload) };
  const replies: Reply[] = [];
  for (;;) {
    const header = new MessageReader((yield { kind: 'receive', length: 20 })!);
    if (!header.isMagic(NBD_REP_MAGIC))
      throw new NbdProtocolError('The server answers an option with garbage');
    const answered = header.u32()!;
    const type = header.u32()!;
    const length = header.u32()!;
    if (answered !== option)
      throw new NbdProtocolError(`The server answers option ${answered}, option ${option} was asked`);
    if (length > MAX_REPLY_LENGTH)
      throw new NbdProtocolError(
        `The server answers an option with ${length} bytes, ${MAX_REPLY_LENGTH} are allowed`,
      );
    const content = length === 0 ? new Uint8Array(0) : (yield { kind: 'receive', length })!;
    replies.push({ type, payload: content });
    if (type === OptionReply.ack || type >= 0x8000_0000) return replies;
    if (replies.length > MAX_REPLIES)
      throw new NbdProtocolError('The server never ends its answer to an option');
  }
}

function* agrees(option: number): Handshake<boolean> {
  const reply = (yield* ask(option)).at(-1)!;
  if (reply.type === OptionReply.tlsRequired) throw refused('a connection', reply);
  return reply.type === OptionReply.ack;
}

function* askForContext(name: string): Handshake<number | undefined> {
  const query = new MessageWriter().string(name).u32(1).string(BASE_ALLOCATION).finish();
  for (const { type, payload } of yield* ask(Option.setMetaContext, query)) {
    if (type !== OptionReply.metaContext) continue;
    const reader = new MessageReader(payload);
    const id = reader.u32();
    if (id !== undefined && reader.rest() === BASE_ALLOCATION) return id;
  }
  return undefined;
}

function* go(name: string, agreed: Agreed): Handshake<NegotiatedExport | undefined> {
  const replies = yield* ask(Option.go, new MessageWriter().string(name).u16(1).u16(Info.blockSize).finish());
  const last = replies.at(-1)!;
  // Servers from before 2016 know EXPORT_NAME only.
  if (last.type === OptionReply.unsupported) return undefined;
  if (last.type !== OptionReply.ack) throw refused(name === '' ? 'the export' : `the export '${name}'`, last);
  let size: number | undefined;
  let flags = 0;
  let blocks: readonly [number, number, number] = [1, 4096, DEFAULT_MAXIMUM];
  for (const { type, payload } of replies) {
    if (type !== OptionReply.info) continue;
    const reader = new MessageReader(payload);
    const kind = reader.u16();
    if (kind === Info.export && reader.remaining === 10) {
      size = reader.u64();
      flags = reader.u16()!;
    } else if (kind === Info.blockSize && reader.remaining === 12) {
      blocks = checkBlocks(reader.u32()!, reader.u32()!, reader.u32()!);
    }
  }
  if (size === undefined) throw new NbdProtocolError('The server does not say how large the export is');
  return negotiated(size, flags, agreed, blocks);
}

function checkBlocks(minimum: number, preferred: number, maximum: number): [number, number, number] {
  const isPowerOfTwo = minimum > 0 && (minimum & (minimum - 1)) === 0;
  if (!isPowerOfTwo || minimum > 65536 || maximum < minimum)
    throw new NbdProtocolError(
      `The server names block sizes that cannot be: ${minimum}, ${preferred}, ${maximum}`,
    );
  return [minimum, preferred, maximum];
}

function* exportName(name: string, agreed: Agreed, noZeroes: boolean): Handshake<NegotiatedExport> {
  yield { kind: 'send', bytes: optionMessage(Option.exportName, new MessageWriter().text(name).finish()) };
  const reader = new MessageReader((yield { kind: 'receive', length: noZeroes ? 10 : 134 })!);
  return negotiated(reader.u64()!, reader.u16()!, agreed, [1, 4096, DEFAULT_MAXIMUM]);
}

function negotiated(
  size: number,
  flags: number,
  agreed: Agreed,
  [minimumBlock, preferredBlock, maximumPayload]: readonly [number, number, number],
): NegotiatedExport {
  if (!Number.isSafeInteger(size))
    throw new NbdProtocolError(`The server names a size that cannot be: ${size} bytes`);
  return {
    size,
    flags,
    ...agreed,
    minimumBlock,
    preferredBlock,
    maximumPayload: Math.min(maximumPayload, DEFAULT_MAXIMUM),
  };
}

function refused(what: string, reply: Reply | undefined): NbdProtocolError {
  const type = reply?.type ?? 0;
  const why = OPTION_ERRORS[type] ?? `error ${type}`;
  // The payload of an error may hold a text for people; control characters in it are not for terminals.
  const said = new MessageReader(reply?.payload ?? new Uint8Array(0))
    .rest()
    .replaceAll(/\p{C}/gu, '')
    .slice(0, 200);
  return new NbdProtocolError(`The server refuses ${what}: ${why}${said === '' ? '' : ` ("${said}")`}`);
}
