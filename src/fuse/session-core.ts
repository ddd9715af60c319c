import type { Timestamp } from '../bytes/time.ts';
import type { Attributes, FileSystem, NodeId } from '../filesystem/file-system.ts';
import type { FuseAgreement } from './init.ts';
import { KnownNodes } from './known-nodes.ts';
import { Presentation, type PresentationOptions } from './presentation.ts';
import type { FuseEntry, FuseReply } from './reply.ts';
import type { FuseRequest } from './request.ts';

export interface SessionOptions extends PresentationOptions {
  readonly readOnly: boolean;
  /** `strict`: each read that reaches the file system; `relative`: the first after a change, and once a day. Default `relative`. */
  readonly accessTime?: 'strict' | 'relative' | 'none';
  /** False: reading directories does not count. */
  readonly directoryAccessTime?: boolean;
  /** New files have the group of their directory, whatever its bits. */
  readonly groupOfDirectory?: boolean;
  /** The user who may do what else root may: trim. */
  readonly owner?: number;
  /** Everything is on the device, durable, before an answer is given. */
  readonly synchronous?: boolean;
  /** Limits of quotas bind who asks, if not root. */
  readonly hasQuotaLimits?: boolean;
  /** FAT: changes of owner and mode that cannot be kept succeed silently. */
  readonly quiet?: boolean;
  /**
   * Let the kernel hold back writes. It is faster with many small writes, but a full disk is then told at close and fsync only, and holes cannot be
   * asked for, since the kernel holds data that the file system has not seen. Default: no.
   */
  readonly writeBack?: boolean;
  readonly clock: () => Timestamp;
  /** Takes a line about what went wrong and is answered with EIO. */
  readonly log: (message: string) => void;
}

/** Seconds for which the kernel may believe what it was told: nobody but the kernel changes anything without telling it. */
export const VALID_SECONDS = 3600;

/** What all handlers of a session share. */
export class SessionCore {
  readonly fs: FileSystem;
  readonly options: SessionOptions;
  readonly known: KnownNodes;
  readonly presentation: Presentation;
  readonly readOnly: boolean;
  agreement: FuseAgreement | undefined;
  /** Changes of names so far: lists of directories grow old by it. */
  changes = 0;
  /**
   * Seconds for which a name may be believed. None where a name can be spelled in several ways: the kernel knows of one spelling only that it
   * is gone, or has come.
   */
  readonly entryValid: number;
  /** Something was changed since this was last set to false. */
  isDirty = false;

  constructor(fs: FileSystem, options: SessionOptions) {
    this.fs = fs;
    this.options = options;
    this.known = new KnownNodes(fs);
    this.presentation = new Presentation(fs, options);
    this.readOnly = options.readOnly || fs.readOnly;
    this.entryValid = fs.capabilities.caseSensitive || this.readOnly ? VALID_SECONDS : 0;
  }

  nodeOf(request: FuseRequest): NodeId {
    return this.known.toNode(request.nodeId);
  }

  /** Seconds for which it may be believed that a name is not there: which names these are is not kept. */
  get negativeValid(): number {
    return this.hasEpochs ? this.entryValid : 0;
  }

  /** The kernel can be told to ask for all names again. */
  get hasEpochs(): boolean {
    return (this.agreement?.minor ?? 0) >= EPOCH_MINOR;
  }

  /** The reply that tells the kernel of a node under a name, which counts as a lookup. */
  entryReply(request: FuseRequest, reply: FuseReply, node: NodeId, parent: number, name: string): number {
    const entry = this.entry(node, name);
    this.known.remember(node, parent, name);
    return reply.entry(request, entry);
  }

  entry(node: NodeId, name: string, attributes: Attributes = this.fs.attributes(node)): FuseEntry {
    return {
      nodeId: this.known.toKernel(node),
      generation: attributes.generation ?? 0,
      entryValid: this.entryValid,
      attrValid: VALID_SECONDS,
      attributes: this.presentation.attributes(attributes, name),
    };
  }

  attributesReply(request: FuseRequest, reply: FuseReply, node: NodeId): number {
    const attributes = this.presentation.attributes(this.fs.attributes(node), this.known.nameOf(node));
    return reply.attributes(request, attributes, VALID_SECONDS);
  }

  /** After a change, before its answer. */
  changed(): void {
    this.isDirty = true;
    if (this.options.synchronous === true) this.fs.sync();
  }

  /** After a change of names. */
  namesChanged(): void {
    this.changes++;
    this.changed();
  }
}

/** The version of the protocol with FUSE_NOTIFY_INC_EPOCH (Linux 6.16). */
export const EPOCH_MINOR = 44;
