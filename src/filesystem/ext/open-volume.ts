import { EPOCH } from '../../bytes/time.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { CorruptImageError, FsError, hasCode } from '../../errors.ts';
import type { OpenOptions } from '../file-system.ts';
import { ExtCore } from './ext-core.ts';
import { readOnlyReason } from './features.ts';
import { mayGrow } from './growth.ts';
import { ReservedInode } from './inode.ts';
import { recover } from './journal/recovery.ts';
import { MultipleMountProtection } from './multiple-mount.ts';
import { Namespace } from './namespace.ts';
import { removeNode } from './node-removal.ts';
import { Quotas } from './quotas.ts';
import { planResize } from './resize/passes.ts';
import { identitiesOf, recheck } from './retained-nodes.ts';
import { Volume } from './volume.ts';

interface Loss {
  readonly code: 'ESTALE' | 'EIO';
  readonly detail: string;
}

/** A volume from its opening to its end: what each operation begins with, and what happens to it as a whole. */
export class OpenVolume {
  readonly device: BlockDevice;
  readonly readOnly: boolean;
  readonly readOnlyReason: string | undefined;
  volume: Volume;
  core: ExtCore;
  names: Namespace;
  readonly #options: OpenOptions;
  /** The device was written below the file system, and its quota files are not sound since. */
  #quotaFault: CorruptImageError | undefined;
  #isClosed = false;
  /** Why nothing can be had of it any more. */
  #loss: Loss | undefined;

  private constructor(volume: Volume, options: OpenOptions, problem: string | undefined, holder?: string) {
    this.#options = options;
    this.device = volume.device;
    this.volume = volume;
    const reason = problem ?? readOnlyReason(volume.superblock, volume.features) ?? holder;
    this.readOnly = options.readOnly === true || volume.device.readOnly || reason !== undefined;
    this.readOnlyReason = options.readOnly === true ? undefined : this.#reasonOf(reason);
    this.core = new ExtCore(volume);
    this.names = new Namespace(this.core);
  }

  /** CorruptImageError, or UnsupportedError with the names of the features that are missing. */
  static open(device: BlockDevice, options: OpenOptions = {}): OpenVolume {
    const mode = options.withoutReplay === true ? 'ignore' : 'read';
    const isWritable = mode === 'read' && options.readOnly !== true && !device.readOnly;
    const protection = isWritable ? MultipleMountProtection.of(device) : undefined;
    const holder = protection?.holder(options);
    const mayWrite = isWritable && holder === undefined;
    const recovered = recover(device, mayWrite ? useOf(options) : mode, protection !== undefined);
    const { device: source, problem, journal, wasDirty } = recovered;
    const volume = Volume.open(source, options.clock ?? (() => EPOCH), journal, protection);
    const open = new OpenVolume(volume, options, problem, holder);
    open.core.directory(ReservedInode.root, 'open');
    if (open.readOnly) return open;
    if (options.givesSigns === true) volume.multipleMount?.take(volume.clock().seconds);
    volume.discards.isActive = options.discard === true;
    volume.isBeingMade = options.withoutJournal === true;
    // With a journal the counts in the superblock are brought up to date at unmount only.
    if (wasDirty || !volume.wasClean) volume.recount();
    let lacking = 'use of space cannot be counted';
    try {
      volume.quotas = Quotas.open(open.core, options.quotaLimits ?? []);
      lacking = 'deleted files cannot be freed';
      open.core.orphans.recover();
    } catch (error) {
      if (!(error instanceof CorruptImageError)) throw error;
      // Nothing of it is on the device.
      const reason = `${lacking}: ${error.message}. Run e2fsck first`;
      volume.multipleMount?.release(volume.clock().seconds);
      return new OpenVolume(Volume.open(source, volume.clock), options, reason);
    }
    return open;
  }

  /** Every operation begins here: between two of them the cache may shrink. */
  begin(): void {
    if (this.#isClosed) throw new TypeError('The file system is closed');
    if (this.#loss !== undefined) throw new FsError(this.#loss.code, { detail: this.#loss.detail });
    this.volume.trim();
  }

  /** EROFS with the reason on a volume that must not be written to. */
  beginChange(syscall: string): void {
    this.begin();
    this.core.changeCount++;
    if (this.#quotaFault !== undefined) throw this.#quotaFault;
    if (!this.readOnly) {
      this.volume.multipleMount?.take(this.volume.clock().seconds);
      return;
    }
    throw new FsError('EROFS', {
      syscall,
      ...(this.readOnlyReason === undefined
        ? {}
        : { detail: `read-only file system: ${this.readOnlyReason}` }),
    });
  }

  /** Runs a change; once more after a commit, when space that waits for one may be what it lacked. */
  withSpace<T>(change: () => T): T {
    if (this.volume.held.isEmpty && this.volume.heldInodes.count === 0) return change();
    try {
      return change();
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
    }
    this.volume.sync();
    return change();
  }

  /** As `FileSystem.grow`. */
  grow(blockCount: number): void {
    this.beginChange('resize');
    const volume = this.volume;
    if (!mayGrow(this.core, blockCount)) return;
    // The size is changed as of a volume that nobody uses; then what is in memory begins anew.
    volume.close();
    this.#loss = { code: 'EIO', detail: 'what is on the device after a change of its size cannot be read' };
    try {
      planResize(this.device, { blockCount, clock: volume.clock }).apply();
    } finally {
      this.#reopen();
      this.#loss = undefined;
    }
  }

  /** As of `FileSystem`, and so the others. */
  settle(): void {
    if (!this.readOnly && this.#loss === undefined) this.volume.settle();
  }

  sync(): void {
    if (!this.readOnly && this.#loss === undefined) this.volume.sync();
  }

  reload(): void {
    if (this.#isClosed) throw new TypeError('The file system is closed');
    const before = identitiesOf(this.core);
    this.core.wasReloaded = true;
    this.core.changeCount++;
    if (!this.volume.reload()) {
      this.#loss = { code: 'ESTALE', detail: 'another file system was written over this one' };
      return;
    }
    const { directories, parents, expectedSizes } = this.core;
    directories.forgetAll();
    parents.clear();
    expectedSizes.clear();
    for (const [node, identity] of before) recheck(this.core, node, identity);
    if (!this.readOnly) this.#reopenQuotas();
  }

  giveSign(): number | undefined {
    const { multipleMount } = this.volume;
    const isDue = this.#options.givesSigns === true && !this.readOnly && !this.#isClosed;
    if (!isDue || this.#loss !== undefined || multipleMount === undefined) return undefined;
    try {
      multipleMount.beat(this.volume.clock().seconds);
      this.device.flush();
    } catch (error) {
      if (hasCode(error, 'EBUSY')) this.#loss = { code: 'EIO', detail: 'the volume is in use elsewhere' };
      throw error;
    }
    return multipleMount.interval;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.readOnly || this.#loss !== undefined) return;
    // Nobody can ask for them any more.
    for (const orphan of this.core.orphans) {
      removeNode(this.core, this.core.node(orphan));
      this.volume.trim();
    }
    this.volume.close();
  }

  #reopen(): void {
    const before = this.core;
    const protection = MultipleMountProtection.of(this.device);
    const holder = protection?.holder(this.#options);
    if (holder !== undefined) throw new FsError('EBUSY', { detail: holder });
    const { journal, problem } = recover(this.device, useOf(this.#options), true);
    if (problem !== undefined) throw new FsError('EIO', { detail: problem });
    const volume = Volume.open(this.device, this.volume.clock, journal, protection);
    if (this.#options.givesSigns === true) volume.multipleMount?.take(volume.clock().seconds);
    volume.discards.isActive = this.#options.discard === true;
    this.volume = volume;
    this.core = new ExtCore(volume, before.retained);
    this.core.changeCount = before.changeCount;
    this.core.wasReloaded = before.wasReloaded;
    for (const [node, size] of before.expectedSizes) this.core.expectedSizes.set(node, size);
    this.names = new Namespace(this.core);
    this.#reopenQuotas();
  }

  #reopenQuotas(): void {
    this.#quotaFault = undefined;
    this.volume.quotas = undefined;
    try {
      this.volume.quotas = Quotas.open(this.core, this.#options.quotaLimits ?? []);
    } catch (error) {
      if (!(error instanceof CorruptImageError)) throw error;
      this.#quotaFault = error;
    }
  }

  #reasonOf(reason: string | undefined): string | undefined {
    if (reason !== undefined) return reason;
    return this.volume.device.readOnly ? 'the device is read-only' : undefined;
  }
}

/** How the journal of a volume is used that is written to. */
function useOf(options: OpenOptions): 'bypass' | 'write' {
  return options.withoutJournal === true ? 'bypass' : 'write';
}
