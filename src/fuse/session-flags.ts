import { bytes, type Field, struct, u32le } from '../bytes/struct.ts';
import { FsError } from '../errors.ts';
import { IoctlIn, IoctlOut } from './structures.ts';
import { type FuseReply, OUT_HEADER_SIZE } from './reply.ts';
import type { FuseRequest } from './request.ts';
import type { SessionCore } from './session-core.ts';

/** Linux `include/uapi/linux/fs.h`. */
export const FlagCommand = {
  GETFLAGS: 0x8008_6601, // _IOR('f', 1, long); an int all the same
  SETFLAGS: 0x4008_6602,
  FSGETXATTR: 0x801c_581f, // _IOR('X', 31, struct fsxattr)
  FSSETXATTR: 0x401c_5820,
} as const;

const Flags = struct('flags', 4, { bits: u32le(0x00) });

const FileAttributes = struct('fsxattr', 28, {
  fsx_xflags: u32le(0x00),
  fsx_extsize: u32le(0x04),
  fsx_nextents: u32le(0x08),
  fsx_projid: u32le(0x0c),
  fsx_cowextsize: u32le(0x10),
  fsx_pad: bytes(0x14, 8),
});

/** Bits of GETFLAGS, and what they are in `fsx_xflags`. */
const SAME_BITS: readonly (readonly [flag: number, extended: number])[] = [
  [0x0000_0008, 0x0000_0020], // synchronous
  [0x0000_0010, 0x0000_0008], // immutable
  [0x0000_0020, 0x0000_0010], // append-only
  [0x0000_0040, 0x0000_0080], // not dumped
  [0x0000_0080, 0x0000_0040], // without times of access
  [0x2000_0000, 0x0000_0200], // the project is handed down
];

/** FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR. */
export function tellFlags(core: SessionCore, request: FuseRequest, reply: FuseReply): number {
  if (core.fs.flags === undefined) throw unknown();
  const isExtended = request.get(IoctlIn.cmd) === FlagCommand.FSGETXATTR;
  const size = isExtended ? FileAttributes.$size : Flags.$size;
  requireSize(request, IoctlIn.out_size, size);
  const { bits, project } = core.fs.flags(core.nodeOf(request));
  reply.clear(IoctlOut.$size + size);
  const at = OUT_HEADER_SIZE + IoctlOut.$size;
  if (isExtended) {
    FileAttributes.fsx_xflags.set(reply.view, at, extendedOf(bits));
    FileAttributes.fsx_projid.set(reply.view, at, project);
  } else Flags.bits.set(reply.view, at, bits);
  return reply.done(request, IoctlOut.$size + size);
}

/** FS_IOC_SETFLAGS and FS_IOC_FSSETXATTR. Of who may do that the kernel takes care. */
export function changeFlags(core: SessionCore, request: FuseRequest, reply: FuseReply): number {
  const { fs } = core;
  if (fs.flags === undefined || fs.setFlags === undefined) throw unknown();
  if (core.readOnly) throw new FsError('EROFS', { syscall: 'ioctl' });
  const isExtended = request.get(IoctlIn.cmd) === FlagCommand.FSSETXATTR;
  requireSize(request, IoctlIn.in_size, isExtended ? FileAttributes.$size : Flags.$size);
  const node = core.nodeOf(request);
  if (isExtended) {
    const former = fs.flags(node).bits;
    const bits = bitsOf(request.getAt(IoctlIn.$size, FileAttributes.fsx_xflags), former);
    fs.setFlags(node, { bits, project: request.getAt(IoctlIn.$size, FileAttributes.fsx_projid) });
  } else fs.setFlags(node, { bits: request.getAt(IoctlIn.$size, Flags.bits) });
  core.changed();
  reply.clear(IoctlOut.$size);
  return reply.done(request, IoctlOut.$size);
}

function extendedOf(bits: number): number {
  let extended = 0;
  for (const [flag, same] of SAME_BITS) if ((bits & flag) !== 0) extended |= same;
  return extended;
}

/** The bits that these stand for, with those of `former` that they cannot say. EOPNOTSUPP for what no bit stands for. */
function bitsOf(extended: number, former: number): number {
  let bits = former;
  let rest = extended;
  for (const [flag, same] of SAME_BITS) {
    bits = (extended & same) === 0 ? bits & ~flag : bits | flag;
    rest &= ~same;
  }
  // Whether there are any is what XFS says with the highest bit.
  if ((rest & 0x7fff_ffff) !== 0) throw new FsError('EOPNOTSUPP', { syscall: 'ioctl' });
  return bits >>> 0;
}

function requireSize(request: FuseRequest, field: Field<number>, least: number): void {
  if (request.get(field) < least) throw new FsError('EINVAL', { syscall: 'ioctl' });
}

function unknown(): FsError {
  return new FsError('ENOTTY', { syscall: 'ioctl' });
}
