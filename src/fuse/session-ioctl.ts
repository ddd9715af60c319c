import { struct, u64le } from '../bytes/struct.ts';
import { FsError } from '../errors.ts';
import { changeFlags, FlagCommand, tellFlags } from './session-flags.ts';
import { IoctlIn, IoctlOut } from './structures.ts';
import { type FuseReply, OUT_HEADER_SIZE } from './reply.ts';
import type { FuseRequest } from './request.ts';
import type { SessionCore } from './session-core.ts';

/** Linux `include/uapi/linux/fs.h`: _IOWR('X', 121, struct fstrim_range). */
const FITRIM = 0xc0185879;
/** Linux `Documentation/filesystems/ext4`: _IOW('f', 16, __u64), the number of blocks that the volume is to have. */
const EXT4_IOC_RESIZE_FS = 0x40086610;

/** The argument of FITRIM, in and out. */
export const TrimRange = struct('fstrim_range', 24, {
  start: u64le(0x00),
  len: u64le(0x08), // out: bytes trimmed
  minlen: u64le(0x10),
});

/**
 * IOCTL: bits and projects of files, FITRIM and EXT4_IOC_RESIZE_FS. The rest is ENOTTY, which programs take for a file system that does not know it. For the latter two it must be whose
 * mount it is, or root: the kernel asks for a capability there, of which a server learns nothing.
 */
export function answerIoctl(core: SessionCore, request: FuseRequest, reply: FuseReply): number {
  const command = request.get(IoctlIn.cmd);
  if (command === FlagCommand.GETFLAGS || command === FlagCommand.FSGETXATTR)
    return tellFlags(core, request, reply);
  if (command === FlagCommand.SETFLAGS || command === FlagCommand.FSSETXATTR)
    return changeFlags(core, request, reply);
  const canTrim = command === FITRIM && core.fs.trim !== undefined;
  const canGrow = command === EXT4_IOC_RESIZE_FS && core.fs.grow !== undefined;
  if (!canTrim && !canGrow) throw new FsError('ENOTTY', { syscall: 'ioctl' });
  if (request.uid !== 0 && request.uid !== core.options.owner)
    throw new FsError('EPERM', { syscall: 'ioctl' });
  if (core.readOnly) throw new FsError('EROFS', { syscall: 'ioctl' });
  return canTrim ? trim(core, request, reply) : grow(core, request, reply);
}

function trim(core: SessionCore, request: FuseRequest, reply: FuseReply): number {
  const start = request.getAt(IoctlIn.$size, TrimRange.start);
  const length = request.getAt(IoctlIn.$size, TrimRange.len);
  const least = request.getAt(IoctlIn.$size, TrimRange.minlen);
  const trimmed = core.fs.trim!(start, length, least);
  core.isDirty = false;
  reply.clear(IoctlOut.$size);
  const at = OUT_HEADER_SIZE + IoctlOut.$size;
  reply.bytes.set(request.data(IoctlIn.$size, TrimRange.$size), at);
  TrimRange.len.set(reply.view, at, trimmed);
  return reply.done(request, IoctlOut.$size + TrimRange.$size);
}

function grow(core: SessionCore, request: FuseRequest, reply: FuseReply): number {
  const blockCount = request.getAt(IoctlIn.$size, NewSize.blocks);
  core.fs.grow!(blockCount);
  reply.clear(IoctlOut.$size);
  return reply.done(request, IoctlOut.$size);
}

/** The argument of EXT4_IOC_RESIZE_FS. */
const NewSize = struct('resize', 8, { blocks: u64le(0x00) });
