import { CorruptImageError } from '../../errors.ts';
import type { QuotaKind, Usage } from '../file-system.ts';
import type { ExtCore } from './ext-core.ts';
import { InodeFlag, ReservedInode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { QuotaAccount } from './quota-account.ts';
import { isCountedInode, QUOTA_FIELDS, quotaFilesOf, quotaOwnerOf } from './quota-kind.ts';
import { Superblock } from './superblock.ts';

const RESERVED: readonly number[] = [ReservedInode.userQuota, ReservedInode.groupQuota];

/** Whose a node is, or becomes. */
export type QuotaOwners = Readonly<Record<QuotaKind, number>>;

/**
 * Who uses how much of an open volume with the feature quota. As in the kernel what `i_blocks` says of a node is counted, and the node itself, and one more for each
 * value of an attribute that lies in an inode of its own, which is nobody's. Counted always; limits bind where that was asked for.
 */
export class Quotas {
  /** Whoever asks for what comes is not bound by limits: root. */
  isExempt = true;
  readonly #core: ExtCore;
  readonly #accounts: readonly QuotaAccount[];
  readonly #isEnforced: boolean;
  readonly #projectInode: number;
  readonly #now = (): number => this.#core.now().seconds;

  private constructor(core: ExtCore, accounts: readonly QuotaAccount[]) {
    this.#core = core;
    this.#accounts = accounts;
    this.#isEnforced = accounts.some(({ isEnforced }) => isEnforced);
    this.#projectInode = Superblock.s_prj_quota_inum.get(core.volume.superblock, 0);
  }

  /** Undefined on a volume without the feature; CorruptImageError when one of its files is not sound. */
  static open(core: ExtCore, enforced: readonly QuotaKind[]): Quotas | undefined {
    const { volume } = core;
    const files = quotaFilesOf(volume.superblock, volume.currentFeatures());
    if (files.length === 0) return undefined;
    const { firstInode, inodeCount } = volume.geometry;
    const accounts = files.map(({ kind, inode }) => {
      if (inode > inodeCount || (inode < firstInode && !RESERVED.includes(inode))) {
        throw new CorruptImageError({
          structure: 'superblock',
          field: QUOTA_FIELDS[kind],
          found: `${inode}`,
          expected: `3, 4, or an inode from ${firstInode} to ${inodeCount}`,
        });
      }
      return new QuotaAccount(core, kind, inode, enforced.includes(kind));
    });
    return new Quotas(core, accounts);
  }

  /** Must limits be asked before something grows? */
  get isBinding(): boolean {
    return this.#isEnforced && !this.isExempt;
  }

  /** The node has so many blocks more. */
  addBlocks(ref: InodeRef, count: number): void {
    if (this.#isCounted(ref)) this.#add(ref, count * this.#core.volume.geometry.blockSize, 0);
  }

  /** The node has come, or goes, or has so many values in inodes of their own more. */
  addInodes(ref: InodeRef, count: number): void {
    if (this.#isCounted(ref)) this.#add(ref, 0, count);
  }

  /** The node goes, with what `i_blocks` still counts, and with `values` in inodes of their own. */
  remove(ref: InodeRef, values: number): void {
    if (this.#isCounted(ref)) this.#add(ref, -this.#core.inodes.allocated(ref), -1 - values);
  }

  /** Entries for the owners of what is about to be made. ENOSPC when there is no room for them. */
  acquire(owners: Partial<QuotaOwners>): void {
    let blocks = 0;
    for (const account of this.#accounts) {
      const id = owners[account.kind];
      if (id !== undefined && !account.has(id)) blocks += account.blocksFor(id);
    }
    this.#core.volume.requireBlocks(blocks, 'quota');
    for (const account of this.#accounts) {
      const id = owners[account.kind];
      if (id !== undefined && !account.has(id)) account.acquire(id);
    }
  }

  /** EDQUOT when limits keep the node from growing by so many blocks. */
  requireBlocks(ref: InodeRef, count: number, syscall: string): void {
    if (count === 0 || !this.isBinding || !this.#isCounted(ref)) return;
    this.#require(this.ownersOf(ref), count * this.#core.volume.geometry.blockSize, undefined, syscall);
  }

  /** EDQUOT when limits keep these owners from having so many nodes more. */
  requireInodes(owners: Partial<QuotaOwners>, count: number, syscall: string): void {
    if (this.isBinding) this.#require(owners, undefined, count, syscall);
  }

  /** The node is about to get other owners. EDQUOT, ENOSPC: nothing has changed. */
  transfer(ref: InodeRef, to: Partial<QuotaOwners>, syscall: string): void {
    if (!this.#isCounted(ref)) return;
    const from = this.ownersOf(ref);
    const { inodes, xattrs } = this.#core;
    const changed: Partial<Record<QuotaKind, number>> = {};
    for (const { kind } of this.#accounts)
      if (to[kind] !== undefined && to[kind] !== from[kind]) changed[kind] = to[kind];
    const space = inodes.allocated(ref);
    const count = 1 + xattrs.valueCount(ref);
    this.acquire(changed);
    if (this.isBinding) this.#require(changed, space, count, syscall);
    for (const account of this.#accounts) {
      const id = changed[account.kind];
      if (id === undefined) continue;
      account.add(id, space, count, this.#now);
      account.add(from[account.kind], -space, -count, this.#now);
    }
  }

  ownersOf({ view, base }: InodeRef): QuotaOwners {
    const { inodeSize } = this.#core.volume.geometry;
    return {
      user: quotaOwnerOf('user', view, base, inodeSize),
      group: quotaOwnerOf('group', view, base, inodeSize),
      project: quotaOwnerOf('project', view, base, inodeSize),
    };
  }

  /** What there is of the volume for a directory that hands its project down, where limits bind that: as the kernel has it for statfs(2). */
  usageOf(ref: InodeRef, whole: Usage): Usage {
    const account = this.#accounts.find(({ kind, isEnforced }) => kind === 'project' && isEnforced);
    const { inodes, volume } = this.#core;
    if (account === undefined || !inodes.hasFlag(ref, InodeFlag.projectInherit)) return whole;
    const entry = account.find(this.ownersOf(ref).project);
    if (entry === undefined) return whole;
    const { blockSize } = volume.geometry;
    const blocks = Math.floor((lesser(entry.softBlocks, entry.hardBlocks) * 1024) / blockSize);
    const usedBlocks = Math.floor(Number(entry.space) / blockSize);
    const nodes = lesser(entry.softInodes, entry.hardInodes);
    const usedNodes = Number(entry.inodes);
    const hasBlocks = blocks > 0 && whole.totalBlocks > blocks;
    const hasNodes = nodes > 0 && whole.totalNodes > nodes;
    const freeBlocks = Math.max(0, blocks - usedBlocks);
    return {
      ...whole,
      ...(hasBlocks && { totalBlocks: blocks, freeBlocks, availableBlocks: freeBlocks }),
      ...(hasNodes && { totalNodes: nodes, freeNodes: Math.max(0, nodes - usedNodes) }),
    };
  }

  /** Before a commit: entries that stand for nothing go. */
  release(): void {
    for (const account of this.#accounts) account.release();
  }

  /** Values of attributes have no owner: who has the attribute is counted for them. */
  #isCounted(ref: InodeRef): boolean {
    const { firstInode } = this.#core.volume.geometry;
    return (
      isCountedInode(ref.number, firstInode, this.#projectInode) &&
      !this.#core.inodes.hasFlag(ref, InodeFlag.eaInode)
    );
  }

  #add({ view, base }: InodeRef, space: number, inodes: number): void {
    const { inodeSize } = this.#core.volume.geometry;
    for (const account of this.#accounts)
      account.add(quotaOwnerOf(account.kind, view, base, inodeSize), space, inodes, this.#now);
  }

  #require(
    owners: Partial<QuotaOwners>,
    space: number | undefined,
    inodes: number | undefined,
    syscall: string,
  ): void {
    for (const account of this.#accounts) {
      const id = owners[account.kind];
      if (account.isEnforced && id !== undefined) account.require(id, space, inodes, this.#now, syscall);
    }
  }
}

/** The lesser of two limits, of which 0 is none. */
function lesser(soft: bigint, hard: bigint): number {
  if (soft === 0n || hard === 0n) return Number(soft | hard);
  return Number(soft < hard ? soft : hard);
}
