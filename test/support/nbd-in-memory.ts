import type { BlockDevice } from '../../src/device/block-device.ts';
import { type Handshake, type NegotiatedExport, NbdProtocolError } from '../../src/nbd/client-handshake.ts';
import { type BlockingStream, ClientSession } from '../../src/nbd/client-session.ts';
import {
  type ExportDescription,
  type ExportSource,
  exportFlags,
  serverHandshake,
} from '../../src/nbd/server-handshake.ts';
import { ServerSession } from '../../src/nbd/server-session.ts';
import type { SessionTerms, SessionTransport, Shortcuts } from '../../src/nbd/session-transport.ts';

/** One side of a dialogue, with what it has said and not been asked for. */
export class Party<Result> {
  readonly said: Uint8Array[] = [];
  result: Result | undefined;
  done = false;
  startedTls = false;
  readonly #handshake: Handshake<Result>;
  #waiting: number | undefined;
  #heard = Buffer.alloc(0);

  constructor(handshake: Handshake<Result>) {
    this.#handshake = handshake;
    this.#go(undefined);
  }

  /** What it says to this. */
  hear(bytes: Uint8Array): void {
    this.#heard = Buffer.concat([this.#heard, bytes]);
    while (!this.done && this.#waiting !== undefined && this.#heard.length >= this.#waiting) {
      const piece = Uint8Array.from(this.#heard.subarray(0, this.#waiting));
      this.#heard = Buffer.from(this.#heard.subarray(this.#waiting));
      this.#go(piece);
    }
  }

  /** Everything said since the last call. */
  take(): Buffer {
    return Buffer.concat(this.said.splice(0));
  }

  #go(received: Uint8Array | undefined): void {
    this.#waiting = undefined;
    for (let given = received; ; given = undefined) {
      const step = this.#handshake.next(given);
      if (step.done === true) {
        this.done = true;
        this.result = step.value;
        return;
      }
      if (step.value.kind === 'send') this.said.push(step.value.bytes);
      else if (step.value.kind === 'startTls') this.startedTls = true;
      else {
        this.#waiting = step.value.length;
        return;
      }
    }
  }
}

/** Lets both talk until neither has anything to say. `split`: bytes that arrive at once at most. */
export function converse<A, B>(a: Party<A>, b: Party<B>, split = Infinity): void {
  for (let quiet = 0; quiet < 2;) {
    quiet = 0;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as [Party<unknown>, Party<unknown>][]) {
      const said = from.take();
      if (said.length === 0) quiet++;
      for (let at = 0; at < said.length; at += split)
        to.hear(said.subarray(at, Math.min(said.length, at + split)));
    }
  }
}

export function exportsOf(
  sizes: Readonly<Record<string, number>>,
  readOnly = false,
): ExportSource<ExportDescription> {
  function find(name: string): ExportDescription | undefined {
    const size = sizes[name];
    if (size === undefined) return undefined;
    const flags = exportFlags({ readOnly, holes: true });
    return { name, description: `about ${name}`, size, flags, preferredBlock: 4096 };
  }
  return { list: () => Object.keys(sizes).map((name) => find(name)!), find };
}

export function serverParty(
  sizes: Readonly<Record<string, number>>,
  tls: 'none' | 'offer' | 'require' = 'none',
) {
  return new Party(serverHandshake(exportsOf(sizes), { tls }));
}

/** A session that is fed by hand. */
export class FedSession implements SessionTransport {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly session: ServerSession;
  readonly shortcuts?: Shortcuts;
  readonly sent: Uint8Array[] = [];

  constructor(
    device: BlockDevice,
    terms: SessionTerms,
    options: { readonly size?: number; readonly shortcuts?: (fed: FedSession) => Shortcuts } = {},
  ) {
    this.input = new Uint8Array(options.size ?? 1 << 20);
    this.output = new Uint8Array(options.size ?? 1 << 20);
    if (options.shortcuts !== undefined) this.shortcuts = options.shortcuts(this);
    this.session = new ServerSession(device, terms, this);
  }

  send(start: number, end: number): void {
    this.sent.push(this.output.slice(start, end));
  }

  /** Answers to these bytes, which arrive `split` at once. */
  feed(bytes: Uint8Array, split = Infinity): Buffer {
    for (let at = 0; at < bytes.length && !this.session.isEnded;) {
      const room = this.input.length - this.session.inputEnd;
      const count = Math.min(split, bytes.length - at, room);
      if (count === 0) throw new Error('The session leaves no room for input');
      this.input.set(bytes.subarray(at, at + count), this.session.inputEnd);
      this.session.process(count);
      at += count;
    }
    return Buffer.concat(this.sent.splice(0));
  }
}

/** A client session over a server session, without anything between them. */
export function connectInMemory(
  device: BlockDevice,
  terms: SessionTerms,
  options: { readonly bufferSize?: number; readonly split?: number } = {},
): ClientSession {
  const server = new FedSession(
    device,
    terms,
    options.bufferSize === undefined ? {} : { size: options.bufferSize },
  );
  let answers = Buffer.alloc(0);
  const stream: BlockingStream = {
    receive(into) {
      if (answers.length < into.length) throw new NbdProtocolError('The server has closed the connection');
      into.set(answers.subarray(0, into.length));
      answers = Buffer.from(answers.subarray(into.length));
    },
    send(header, payload = new Uint8Array(0)) {
      answers = Buffer.concat([answers, server.feed(Buffer.concat([header, payload]), options.split)]);
    },
  };
  const exported: NegotiatedExport = {
    size: device.size,
    flags: terms.flags,
    structuredReplies: terms.structuredReplies,
    extendedHeaders: terms.extendedHeaders,
    baseAllocation: terms.baseAllocation ? 1 : undefined,
    minimumBlock: 1,
    preferredBlock: 4096,
    maximumPayload: 32 << 20,
  };
  return new ClientSession(stream, exported, 'memory');
}

/** The three ways in which replies can look. */
export const REPLY_STYLES: readonly (readonly [string, Omit<SessionTerms, 'flags'>])[] = [
  ['simple', { structuredReplies: false, extendedHeaders: false, baseAllocation: false }],
  ['structured', { structuredReplies: true, extendedHeaders: false, baseAllocation: true }],
  ['extended', { structuredReplies: true, extendedHeaders: true, baseAllocation: true }],
];
