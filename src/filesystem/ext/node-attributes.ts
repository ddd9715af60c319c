import { EPOCH } from '../../bytes/time.ts';
import type { AttributeChanges, Attributes, NodeId } from '../file-system.ts';
import { decodeDevice } from './device-number.ts';
import type { ExtCore } from './ext-core.ts';
import { Inode } from './inode.ts';
import { AccessTime, BirthTime, ChangeTime, ModificationTime } from './timestamp.ts';

/** What stat(2) tells of a node. */
export function attributesOf(core: ExtCore, node: NodeId): Attributes {
  const { inodes } = core;
  const ref = core.node(node);
  const { view, base } = ref;
  const kind = inodes.kind(ref);
  const special = kind === 'character-device' || kind === 'block-device';
  const words = base + Inode.i_block.offset;
  // As the kernel: otherwise programs that copy take small files for holes.
  const isInlineFile = kind === 'file' && core.isInline(ref);
  return {
    node,
    kind,
    size: special ? 0 : inodes.size(ref),
    allocated: inodes.allocated(ref) + (isInlineFile ? Math.ceil(inodes.size(ref) / 512) * 512 : 0),
    mode: Inode.i_mode.get(view, base) & 0o7777,
    uid: inodes.uid(ref),
    gid: inodes.gid(ref),
    linkCount: Inode.i_links_count.get(view, base),
    device: special ? decodeDevice(view.getUint32(words, true), view.getUint32(words + 4, true)) : undefined,
    atime: inodes.time(ref, AccessTime) ?? EPOCH,
    mtime: inodes.time(ref, ModificationTime) ?? EPOCH,
    ctime: inodes.time(ref, ChangeTime) ?? EPOCH,
    birthtime: inodes.time(ref, BirthTime),
    dosAttributes: 0,
    generation: Inode.i_generation.get(view, base),
  };
}

/** All but the size, of which only the times follow. EDQUOT and ENOSPC, when what it takes cannot be another owner's, change nothing. */
export function changeAttributes(core: ExtCore, node: NodeId, changes: AttributeChanges): void {
  const { inodes } = core;
  const ref = core.node(node);
  if (changes.uid !== undefined || changes.gid !== undefined) {
    const user = changes.uid ?? inodes.uid(ref);
    const group = changes.gid ?? inodes.gid(ref);
    core.volume.quotas?.transfer(ref, { user, group }, 'chown');
    inodes.setOwner(ref, user, group);
  }
  if (changes.mode !== undefined) {
    const kind = Inode.i_mode.get(ref.view, ref.base) & 0xf000;
    Inode.i_mode.set(ref.view, ref.base, kind | (changes.mode & 0o7777));
  }
  const mtime = changes.mtime ?? (changes.size === undefined ? undefined : core.now());
  if (changes.atime !== undefined) inodes.setTime(ref, AccessTime, changes.atime);
  if (mtime !== undefined) inodes.setTime(ref, ModificationTime, mtime);
  if (changes.birthtime !== undefined) inodes.setTime(ref, BirthTime, changes.birthtime);
  inodes.setTime(ref, ChangeTime, changes.ctime ?? core.now());
}
