import { FsError } from '../errors.ts';
import { gatesOf } from '../host/device-gate.ts';
import { type DeviceShare, GATE_COUNT, ShareWord } from '../host/device-share.ts';
import type { UnmountOptions } from './client.ts';
import type { Holder, MountState, ViewState } from './device-state.ts';
import type { MountRequest } from './mount-request.ts';
import { MountedFileSystem } from './mounted-file-system.ts';

export interface MountsOptions {
  /** A mounted file system has written while device files are open whose pages the kernel keeps: they are to be dropped. */
  readonly dropDeviceCaches?: () => void;
  /** Takes a line about what went wrong. Default: the process's standard error. */
  readonly log?: (message: string) => void;
}

/** The file systems mounted from the device of this process: each has a thread of its own, behind a gate of the share. */
export class Mounts {
  readonly #share: DeviceShare;
  readonly #words: Int32Array;
  readonly #changed: () => void;
  readonly #options: MountsOptions;
  /** By gate; those that are being mounted have their place, too. */
  readonly #places: (MountedFileSystem | 'opening' | undefined)[] = Array.from({ length: GATE_COUNT });

  /** `changed`: `states` is another one now. */
  constructor(share: DeviceShare, changed: () => void, options: MountsOptions = {}) {
    this.#share = share;
    this.#words = new Int32Array(share.state);
    this.#changed = changed;
    this.#options = options;
  }

  /** What is mounted and in the tree, in no particular order. */
  get states(): readonly MountState[] {
    return this.#mounted.filter(({ isDetached }) => !isDetached).map(({ state }) => state);
  }

  /** `range`: the view that is mounted, bytes. */
  async mount(
    request: MountRequest,
    range: { readonly offset: number; readonly size: number },
  ): Promise<MountState> {
    this.#requireFree(request, range);
    const gateIndex = this.#places.indexOf(undefined);
    if (gateIndex < 0) {
      throw new FsError('EBUSY', {
        syscall: 'mount',
        detail: `${GATE_COUNT} file systems are mounted from this device already`,
      });
    }
    this.#places[gateIndex] = 'opening';
    // From here on whoever accesses blocks asks at the gates.
    Atomics.add(this.#words, ShareWord.mounts, 1);
    let isOpen = false;
    try {
      const mounted = await MountedFileSystem.open(
        {
          share: this.#share,
          range,
          gate: gatesOf(this.#share.state)[gateIndex]!,
          gateIndex,
          onEnd: () => {
            if (isOpen) this.#free(gateIndex);
          },
          onWrite: () => this.#options.dropDeviceCaches?.(),
          log: this.#options.log ?? ((message) => process.stderr.write(`userloop: ${message}\n`)),
        },
        request,
      );
      isOpen = true;
      this.#places[gateIndex] = mounted;
      this.#changed();
      return mounted.state;
    } catch (error) {
      this.#free(gateIndex);
      throw error;
    }
  }

  /** Views have become longer: what is mounted from them may grow. */
  follow(views: readonly ViewState[]): void {
    for (const [index, place] of this.#places.entries()) {
      if (!(place instanceof MountedFileSystem)) continue;
      const view = views.find(({ name }) => name === place.state.view);
      if (view !== undefined) gatesOf(this.#share.state)[index]!.lengthen(view.size);
    }
  }

  /** DeviceBusyError with the holders' names when it is in use, and neither `lazy` nor `force` is set. */
  async unmount(directory: string, options: UnmountOptions): Promise<void> {
    const mounted = this.#mounted.findLast(
      ({ state, isDetached }) => !isDetached && state.directory === directory,
    );
    if (mounted === undefined) {
      throw new FsError('EINVAL', { syscall: 'umount', path: directory, detail: 'not mounted' });
    }
    try {
      await mounted.unmount(options);
    } finally {
      this.#changed();
    }
  }

  /** Who has files open in it, as far as that can be told. */
  holders(): Holder[] {
    return this.#mounted.flatMap((mounted) => mounted.holders());
  }

  /** Unmounts everything; what is busy is written, and detached lazily. Throws the first failure when all are gone. */
  async close(): Promise<void> {
    const outcomes = await Promise.allSettled(
      this.#mounted.map(async (mounted) => {
        if (mounted.isDetached) {
          await mounted.stop();
          return;
        }
        try {
          await mounted.unmount({});
        } catch (error) {
          if (mounted.isOver) throw error;
          await mounted.unmount({ force: true });
        }
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  get #mounted(): MountedFileSystem[] {
    return this.#places.filter((place) => place instanceof MountedFileSystem);
  }

  #free(gateIndex: number): void {
    this.#places[gateIndex] = undefined;
    Atomics.sub(this.#words, ShareWord.mounts, 1);
    this.#changed();
  }

  /** Two file systems that write to the same blocks would destroy them. */
  #requireFree(request: MountRequest, range: { readonly offset: number; readonly size: number }): void {
    const gates = gatesOf(this.#share.state);
    const isTaken = gates.some((gate) => gate.guards(range.offset, range.size));
    if (!isTaken) return;
    throw new FsError('EBUSY', {
      syscall: 'mount',
      path: request.source,
      detail: `${request.view}, or a part of it, is mounted already`,
    });
  }
}
