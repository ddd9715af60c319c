import { Worker } from 'node:worker_threads';
import type { DeviceShare } from '../host/device-share.ts';
import type { ExportRange } from '../host/nbd-transport.ts';
import { programFile } from '../host/program-file.ts';
import type { SessionTerms } from '../nbd/session-transport.ts';

/** One client to serve. */
export interface NbdJob {
  /** A connected, blocking socket; stays open until the job is done. */
  readonly fd: number;
  /** The partition; undefined for the whole device. */
  readonly range: ExportRange | undefined;
  readonly terms: SessionTerms;
  /** What has come of the client's requests already. */
  readonly initial: Uint8Array;
}

export interface NbdJobResult {
  /** Of the thread's own making; a client that goes is none. */
  readonly error: string | undefined;
}

/** A thread that has nothing to do is kept for so long, for clients that open several connections or come again. */
const KEEP_MILLISECONDS = 30_000;

interface Member {
  readonly worker: Worker;
  finish: ((result: NbdJobResult) => void) | undefined;
  timer: NodeJS.Timeout | undefined;
}

/**
 * The threads that serve clients, one a connection. The first starts with the first client, since most devices never have one; who has ended is kept for
 * the next, since starting one takes longer than most commands.
 */
export class NbdWorkers {
  readonly #share: DeviceShare;
  readonly #idle: Member[] = [];
  readonly #all = new Set<Member>();
  #closed = false;

  constructor(share: DeviceShare) {
    this.#share = share;
  }

  /** Starts a thread where there is none: a client has come and will want it. */
  prepare(): void {
    if (this.#all.size === 0 && !this.#closed) this.#idle.push(this.#start());
  }

  /** Resolves when the client has gone, or was made to. */
  serve(job: NbdJob): Promise<NbdJobResult> {
    const member = this.#idle.pop() ?? this.#start();
    clearTimeout(member.timer);
    return new Promise((resolve) => {
      member.finish = resolve;
      member.worker.postMessage(job);
    });
  }

  /** Ends the threads that have nothing to do. Those that serve somebody cannot be ended: the client's socket must be shut down first. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#idle].map((member) => this.#end(member)));
  }

  #start(): Member {
    const worker = new Worker(programFile('nbd-worker'), {
      workerData: this.#share,
      // The pipes of a transport are opened past node.
      trackUnmanagedFds: false,
      // Serving allocates next to nothing, so a young generation of the usual size would only be memory in use.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    const member: Member = { worker, finish: undefined, timer: undefined };
    this.#all.add(member);
    worker.on('message', (result: NbdJobResult) => this.#finished(member, result));
    worker.on('error', (error) => this.#lost(member, error.stack ?? error.message));
    worker.on('exit', () => this.#lost(member, 'the thread has ended'));
    // Listeners keep a worker, and so the process, alive; the server itself does that.
    worker.unref();
    return member;
  }

  #finished(member: Member, result: NbdJobResult): void {
    const { finish } = member;
    member.finish = undefined;
    if (this.#closed) void this.#end(member);
    else {
      this.#idle.push(member);
      member.timer = setTimeout(() => this.#retire(member), KEEP_MILLISECONDS).unref();
    }
    finish?.(result);
  }

  #retire(member: Member): void {
    if (this.#idle.length > 1 && this.#idle.includes(member)) void this.#end(member);
  }

  #lost(member: Member, why: string): void {
    this.#forget(member);
    member.finish?.({ error: why });
    member.finish = undefined;
  }

  async #end(member: Member): Promise<void> {
    this.#forget(member);
    await member.worker.terminate();
  }

  #forget(member: Member): void {
    clearTimeout(member.timer);
    this.#all.delete(member);
    const index = this.#idle.indexOf(member);
    if (index >= 0) this.#idle.splice(index, 1);
  }
}
