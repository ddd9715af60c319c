import type { Handshake } from './client-handshake.ts';
import {
  BASE_ALLOCATION,
  ClientFlag,
  ExportFlag,
  HandshakeFlag,
  Info,
  MAX_STRING,
  NBD_MAGIC,
  NBD_OPTS_MAGIC,
  NBD_REP_MAGIC,
  Option,
  OptionReply,
} from './protocol.ts';
import { MessageReader, MessageWriter } from './wire.ts';

/** One thing that a server serves. */
export interface ExportDescription {
  readonly name: string;
  readonly description: string;
  /** Bytes. */
  readonly size: number;
  /** `ExportFlag`s. */
  readonly flags: number;
  /** Bytes; a power of two. */
  readonly preferredBlock: number;
}

/** What a server serves, asked at the time of the question. */
export interface ExportSource<E extends ExportDescription = ExportDescription> {
  /** Those that are shown in a list. */
  list(): readonly E[];
  find(name: string): E | undefined;
}

export interface ServerHandshakeOptions {
  /** `none`: TLS is refused. `require`: everything else is refused until it is there. */
  readonly tls: 'none' | 'offer' | 'require';
}

/** What was agreed on with a client. */
export interface AgreedExport<E extends ExportDescription = ExportDescription> {
  readonly export: E;
  readonly structuredReplies: boolean;
  readonly extendedHeaders: boolean;
  /** The client wants base:allocation, whose id is `BASE_ALLOCATION_ID`. */
  readonly baseAllocation: boolean;
}

export const BASE_ALLOCATION_ID = 1;
/** Bytes of a read or write at most: what clients assume when they are told nothing. */
export const MAX_PAYLOAD = 32 << 20;
/** Bytes of one option: an export's name and a few queries. */
const MAX_OPTION_LENGTH = 64 << 10;
/** Options in one handshake: a client that looks at every export of a long list asks a few for each. */
const MAX_OPTIONS = 4096;
const MAX_QUERIES = 64;

/** A client has asked for something that ends its connection. */
export class HandshakeRefusedError extends Error {
  override readonly name = 'HandshakeRefusedError';
}

/** The server's side of the fixed newstyle negotiation; undefined when the client has ended it in peace. */
export function* serverHandshake<E extends ExportDescription>(
  source: ExportSource<E>,
  options: ServerHandshakeOptions,
): Handshake<AgreedExport<E> | undefined> {
  const hello = new MessageWriter().magic(NBD_MAGIC).magic(NBD_OPTS_MAGIC);
  yield { kind: 'send', bytes: hello.u16(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes).finish() };
  const clientFlags = new MessageReader((yield { kind: 'receive', length: 4 })!).u32()!;
  const known = ClientFlag.fixedNewstyle | ClientFlag.noZeroes;
  if ((clientFlags & ~known) !== 0)
    throw new HandshakeRefusedError(`Client flags 0x${clientFlags.toString(16)} are not known`);
  const negotiation = new Negotiation(source, options.tls, (clientFlags & ClientFlag.noZeroes) !== 0);
  const fixed = (clientFlags & ClientFlag.fixedNewstyle) !== 0;
  for (let count = 0; count < MAX_OPTIONS; count++) {
    const header = new MessageReader((yield { kind: 'receive', length: 16 })!);
    if (!header.isMagic(NBD_OPTS_MAGIC))
      throw new HandshakeRefusedError('An option does not start with its magic');
    const option = header.u32()!;
    const length = header.u32()!;
    if (length > MAX_OPTION_LENGTH) {
      yield { kind: 'send', bytes: optionReply(option, OptionReply.tooBig) };
      throw new HandshakeRefusedError(`An option has ${length} bytes, ${MAX_OPTION_LENGTH} are allowed`);
    }
    const payload = length === 0 ? new Uint8Array(0) : (yield { kind: 'receive', length })!;
    // A client that is not fixed newstyle may send nothing but the name, and does not understand other answers.
    if (!fixed && option !== Option.exportName)
      throw new HandshakeRefusedError('The client has not agreed to options');
    const answer = negotiation.answer(option, payload);
    for (const bytes of answer.replies) yield { kind: 'send', bytes };
    if (answer.next === 'startTls') {
      yield { kind: 'startTls' };
      negotiation.restart();
    } else if (answer.next === 'end') return undefined;
    else if (answer.next !== 'go on') return answer.next;
  }
  throw new HandshakeRefusedError(`The client has sent ${MAX_OPTIONS} options and chosen no export`);
}

interface Answer<E extends ExportDescription> {
  readonly replies: readonly Uint8Array[];
  readonly next: 'go on' | 'startTls' | 'end' | AgreedExport<E>;
}

class Negotiation<E extends ExportDescription> {
  readonly #source: ExportSource<E>;
  readonly #tls: ServerHandshakeOptions['tls'];
  readonly #noZeroes: boolean;
  #inTls = false;
  #structuredReplies = false;
  #extendedHeaders = false;
  /** The export for which base:allocation was chosen. */
  #contextOf: string | undefined;

  constructor(source: ExportSource<E>, tls: ServerHandshakeOptions['tls'], noZeroes: boolean) {
    this.#source = source;
    this.#tls = tls;
    this.#noZeroes = noZeroes;
  }

  /** What was agreed on in the clear does not count (doc/proto.md, "NBD_OPT_STARTTLS"). */
  restart(): void {
    this.#inTls = true;
    this.#structuredReplies = false;
    this.#extendedHeaders = false;
    this.#contextOf = undefined;
  }

  answer(option: number, payload: Uint8Array): Answer<E> {
    const isBarred = this.#tls === 'require' && !this.#inTls;
    if (isBarred && option === Option.exportName) throw new HandshakeRefusedError('TLS is required');
    if (isBarred && option !== Option.startTls && option !== Option.abort)
      return only(optionReply(option, OptionReply.tlsRequired, 'TLS is required'));
    switch (option) {
      case Option.exportName:
        return this.#exportName(payload);
      case Option.abort:
        return { replies: [optionReply(option, OptionReply.ack)], next: 'end' };
      case Option.list:
        return only(...this.#list(payload));
      case Option.startTls:
        return this.#startTls(payload);
      case Option.info:
      case Option.go:
        return this.#info(option, payload);
      case Option.structuredReply:
        return only(this.#switchOn(option, payload));
      case Option.extendedHeaders:
        return only(this.#switchOn(option, payload));
      case Option.listMetaContext:
      case Option.setMetaContext:
        return only(...this.#metaContext(option, payload));
      default:
        return only(optionReply(option, OptionReply.unsupported, `option ${option} is not known`));
    }
  }

  #exportName(payload: Uint8Array): Answer<E> {
    const name = new MessageReader(payload).rest();
    const found = payload.length > MAX_STRING ? undefined : this.#source.find(name);
    // This option has no way to say no.
    if (found === undefined) throw new HandshakeRefusedError(`There is no export '${name.slice(0, 80)}'`);
    const reply = new MessageWriter().u64(found.size).u16(found.flags);
    if (!this.#noZeroes) reply.zeros(124);
    return { replies: [reply.finish()], next: this.#agreed(found, name) };
  }

  #list(payload: Uint8Array): Uint8Array[] {
    if (payload.length > 0) return [invalid(Option.list, 'a list takes no data')];
    const replies = this.#source
      .list()
      .map(({ name, description }) =>
        optionMessage(
          Option.list,
          OptionReply.server,
          new MessageWriter().string(name).text(description).finish(),
        ),
      );
    return [...replies, optionReply(Option.list, OptionReply.ack)];
  }

  #startTls(payload: Uint8Array): Answer<E> {
    const option = Option.startTls;
    if (payload.length > 0) return only(invalid(option, 'starting TLS takes no data'));
    if (this.#inTls) return only(invalid(option, 'TLS is on already'));
    if (this.#tls === 'none') return only(optionReply(option, OptionReply.policy, 'TLS is not set up here'));
    return { replies: [optionReply(option, OptionReply.ack)], next: 'startTls' };
  }

  #switchOn(option: number, payload: Uint8Array): Uint8Array {
    if (payload.length > 0) return invalid(option, 'this option takes no data');
    // Once headers are extended, replies are structured anyway.
    const isOn = option === Option.extendedHeaders ? this.#extendedHeaders : this.#structuredReplies;
    if (isOn) return invalid(option, 'this is agreed on already');
    if (option === Option.extendedHeaders) this.#extendedHeaders = true;
    this.#structuredReplies = true;
    return optionReply(option, OptionReply.ack);
  }

  #info(option: number, payload: Uint8Array): Answer<E> {
    const reader = new MessageReader(payload);
    const name = reader.string(MAX_STRING);
    const count = reader.u16();
    if (name === undefined || count === undefined || reader.remaining !== count * 2)
      return only(invalid(option, 'the lengths of the option do not fit'));
    const wanted = new Set<number>();
    for (let index = 0; index < count; index++) wanted.add(reader.u16()!);
    const found = this.#source.find(name);
    if (found === undefined)
      return only(optionReply(option, OptionReply.unknown, `there is no export '${name.slice(0, 80)}'`));
    const { size, flags } = found;
    const messages = [new MessageWriter().u16(Info.export).u64(size).u16(flags)];
    if (wanted.has(Info.name)) messages.push(new MessageWriter().u16(Info.name).text(found.name));
    if (wanted.has(Info.description))
      messages.push(new MessageWriter().u16(Info.description).text(found.description));
    if (wanted.has(Info.blockSize))
      messages.push(
        new MessageWriter().u16(Info.blockSize).u32(1).u32(found.preferredBlock).u32(MAX_PAYLOAD),
      );
    const replies = messages.map((message) => optionMessage(option, OptionReply.info, message.finish()));
    replies.push(optionReply(option, OptionReply.ack));
    return { replies, next: option === Option.go ? this.#agreed(found, name) : 'go on' };
  }

  #metaContext(option: number, payload: Uint8Array): Uint8Array[] {
    const reader = new MessageReader(payload);
    const name = reader.string(MAX_STRING);
    const count = reader.u32();
    if (name === undefined || count === undefined || count > MAX_QUERIES)
      return [invalid(option, 'the lengths of the option do not fit')];
    const queries: string[] = [];
    for (let index = 0; index < count; index++) {
      const query = reader.string(MAX_STRING);
      if (query === undefined) return [invalid(option, 'the lengths of the option do not fit')];
      queries.push(query);
    }
    if (reader.remaining > 0) return [invalid(option, 'there is more than the queries')];
    const isSet = option === Option.setMetaContext;
    // A failed choice leaves none in place.
    if (isSet) this.#contextOf = undefined;
    if (!this.#structuredReplies) return [invalid(option, 'structured replies must be agreed on first')];
    if (this.#source.find(name) === undefined)
      return [optionReply(option, OptionReply.unknown, `there is no export '${name.slice(0, 80)}'`)];
    const matches = isSet
      ? queries.includes(BASE_ALLOCATION)
      : queries.length === 0 || queries.some((query) => query === BASE_ALLOCATION || query === 'base:');
    if (!matches) return [optionReply(option, OptionReply.ack)];
    if (isSet) this.#contextOf = name;
    const context = new MessageWriter().u32(isSet ? BASE_ALLOCATION_ID : 0).text(BASE_ALLOCATION);
    return [
      optionMessage(option, OptionReply.metaContext, context.finish()),
      optionReply(option, OptionReply.ack),
    ];
  }

  #agreed(found: E, name: string): AgreedExport<E> {
    return {
      export: found,
      structuredReplies: this.#structuredReplies,
      extendedHeaders: this.#extendedHeaders,
      // The choice counts for the export that it was made for.
      baseAllocation: this.#contextOf === name,
    };
  }
}

function only<E extends ExportDescription>(...replies: Uint8Array[]): Answer<E> {
  return { replies, next: 'go on' };
}

function invalid(option: number, why: string): Uint8Array {
  return optionReply(option, OptionReply.invalid, why);
}

function optionReply(option: number, type: number, text = ''): Uint8Array {
  return optionMessage(option, type, new MessageWriter().text(text).finish());
}

function optionMessage(option: number, type: number, payload: Uint8Array): Uint8Array {
  const message = new MessageWriter().magic(NBD_REP_MAGIC).u32(option).u32(type).u32(payload.length);
  return message.bytes(payload).finish();
}

/** What a device of ours can as an export. */
export function exportFlags(abilities: { readonly readOnly: boolean; readonly holes: boolean }): number {
  const always =
    ExportFlag.hasFlags |
    ExportFlag.sendFlush |
    ExportFlag.sendDf |
    ExportFlag.canMultiConn |
    ExportFlag.sendCache;
  if (abilities.readOnly) return always | ExportFlag.readOnly;
  const writing = ExportFlag.sendFua | ExportFlag.sendWriteZeroes;
  // Where holes cannot be punched, zeros are written: that is neither trimming nor fast.
  const holes = abilities.holes ? ExportFlag.sendTrim | ExportFlag.sendFastZero : 0;
  return always | writing | holes;
}
