import { i32le, struct, u16le, u32le, u64le } from '../bytes/struct.ts';

/**
 * The structures of the protocol of /dev/fuse as `linux/fuse.h` declares it, versions 7.31 (Linux 5.2) to 7.45 (Linux 6.18), under the header's
 * own names. The kernel speaks the byte order of the machine; this is for little-endian machines, which are all that Node has FUSE on but s390x.
 * What follows a structure (names, data) starts at its `$size`.
 *
 * 64-bit fields are numbers: exact up to 2^53. The one that must be given back exactly, `unique`, is copied as it is (reply.ts).
 */

export const InHeader = struct('fuse_in_header', 40, {
  len: u32le(0x00),
  opcode: u32le(0x04),
  unique: u64le(0x08),
  nodeid: u64le(0x10),
  uid: u32le(0x18),
  gid: u32le(0x1c),
  pid: u32le(0x20),
  /** Extensions after the body, in units of 8 bytes (7.38). */
  total_extlen: u16le(0x24),
});

export const OutHeader = struct('fuse_out_header', 16, {
  len: u32le(0x00),
  /** 0 or a negative errno; a notification's code. */
  error: i32le(0x04),
  unique: u64le(0x08),
});

export const Attr = struct('fuse_attr', 88, {
  ino: u64le(0x00),
  size: u64le(0x08),
  /** Of 512 bytes. */
  blocks: u64le(0x10),
  atime: u64le(0x18),
  mtime: u64le(0x20),
  ctime: u64le(0x28),
  atimensec: u32le(0x30),
  mtimensec: u32le(0x34),
  ctimensec: u32le(0x38),
  mode: u32le(0x3c),
  nlink: u32le(0x40),
  uid: u32le(0x44),
  gid: u32le(0x48),
  /** As the kernel's new_encode_dev packs it. */
  rdev: u32le(0x4c),
  blksize: u32le(0x50),
  flags: u32le(0x54),
});

export const EntryOut = struct('fuse_entry_out', 128, {
  /** 0: there is no such name, and that may be remembered. */
  nodeid: u64le(0x00),
  generation: u64le(0x08),
  /** Seconds. */
  entry_valid: u64le(0x10),
  attr_valid: u64le(0x18),
  entry_valid_nsec: u32le(0x20),
  attr_valid_nsec: u32le(0x24),
});
/** Of the fuse_attr in a fuse_entry_out. */
export const ENTRY_ATTR = 0x28;

export const AttrOut = struct('fuse_attr_out', 104, {
  attr_valid: u64le(0x00),
  attr_valid_nsec: u32le(0x08),
});
/** Of the fuse_attr in a fuse_attr_out. */
export const ATTR_OUT_ATTR = 0x10;

export const ForgetIn = struct('fuse_forget_in', 8, { nlookup: u64le(0x00) });
/** Followed by `count` times ForgetOne. */
export const BatchForgetIn = struct('fuse_batch_forget_in', 8, { count: u32le(0x00) });
export const ForgetOne = struct('fuse_forget_one', 16, { nodeid: u64le(0x00), nlookup: u64le(0x08) });

export const GetattrIn = struct('fuse_getattr_in', 16, { getattr_flags: u32le(0x00), fh: u64le(0x08) });

export const SetattrIn = struct('fuse_setattr_in', 88, {
  valid: u32le(0x00),
  fh: u64le(0x08),
  size: u64le(0x10),
  lock_owner: u64le(0x18),
  atime: u64le(0x20),
  mtime: u64le(0x28),
  ctime: u64le(0x30),
  atimensec: u32le(0x38),
  mtimensec: u32le(0x3c),
  ctimensec: u32le(0x40),
  mode: u32le(0x44),
  uid: u32le(0x4c),
  gid: u32le(0x50),
});

/** Followed by the name. */
export const MknodIn = struct('fuse_mknod_in', 16, {
  mode: u32le(0x00),
  rdev: u32le(0x04),
  umask: u32le(0x08),
});
/** Followed by the name. */
export const MkdirIn = struct('fuse_mkdir_in', 8, { mode: u32le(0x00), umask: u32le(0x04) });
/** Followed by the old and the new name. */
export const RenameIn = struct('fuse_rename_in', 8, { newdir: u64le(0x00) });
/** Followed by the old and the new name. */
export const Rename2In = struct('fuse_rename2_in', 16, { newdir: u64le(0x00), flags: u32le(0x08) });
/** Followed by the new name; the header's node is the new directory. */
export const LinkIn = struct('fuse_link_in', 8, { oldnodeid: u64le(0x00) });

export const OpenIn = struct('fuse_open_in', 8, { flags: u32le(0x00), open_flags: u32le(0x04) });
/** Followed by the name. */
export const CreateIn = struct('fuse_create_in', 16, {
  flags: u32le(0x00),
  mode: u32le(0x04),
  umask: u32le(0x08),
  open_flags: u32le(0x0c),
});
export const OpenOut = struct('fuse_open_out', 16, {
  fh: u64le(0x00),
  open_flags: u32le(0x08),
  backing_id: i32le(0x0c),
});
/** RELEASE and RELEASEDIR. */
export const ReleaseIn = struct('fuse_release_in', 24, {
  fh: u64le(0x00),
  flags: u32le(0x08),
  release_flags: u32le(0x0c),
  lock_owner: u64le(0x10),
});
export const FlushIn = struct('fuse_flush_in', 24, { fh: u64le(0x00), lock_owner: u64le(0x10) });
/** READ, READDIR and READDIRPLUS. */
export const ReadIn = struct('fuse_read_in', 40, {
  fh: u64le(0x00),
  offset: u64le(0x08),
  size: u32le(0x10),
  read_flags: u32le(0x14),
  lock_owner: u64le(0x18),
  flags: u32le(0x20),
});
/** Followed by the data. */
export const WriteIn = struct('fuse_write_in', 40, {
  fh: u64le(0x00),
  offset: u64le(0x08),
  size: u32le(0x10),
  write_flags: u32le(0x14),
  lock_owner: u64le(0x18),
  flags: u32le(0x20),
});
export const WriteOut = struct('fuse_write_out', 8, { size: u32le(0x00) });

export const Kstatfs = struct('fuse_kstatfs', 80, {
  blocks: u64le(0x00),
  bfree: u64le(0x08),
  bavail: u64le(0x10),
  files: u64le(0x18),
  ffree: u64le(0x20),
  bsize: u32le(0x28),
  namelen: u32le(0x2c),
  frsize: u32le(0x30),
});

/** FSYNC and FSYNCDIR. */
export const FsyncIn = struct('fuse_fsync_in', 16, { fh: u64le(0x00), fsync_flags: u32le(0x08) });

/** With SETXATTR_EXT; without, the first 8 bytes. Followed by name and value. */
export const SetxattrIn = struct('fuse_setxattr_in', 16, {
  size: u32le(0x00),
  flags: u32le(0x04),
  setxattr_flags: u32le(0x08),
});
export const FUSE_COMPAT_SETXATTR_IN_SIZE = 8;
/** GETXATTR (followed by the name) and LISTXATTR. A `size` of 0 asks for the length. */
export const GetxattrIn = struct('fuse_getxattr_in', 8, { size: u32le(0x00) });
export const GetxattrOut = struct('fuse_getxattr_out', 8, { size: u32le(0x00) });

/** GETLK, SETLK, SETLKW. */
export const LkIn = struct('fuse_lk_in', 48, {
  fh: u64le(0x00),
  owner: u64le(0x08),
  start: u64le(0x10),
  end: u64le(0x18),
  type: u32le(0x20),
  pid: u32le(0x24),
  lk_flags: u32le(0x28),
});
export const LkOut = struct('fuse_lk_out', 24, {
  start: u64le(0x00),
  end: u64le(0x08),
  type: u32le(0x10),
  pid: u32le(0x14),
});

export const AccessIn = struct('fuse_access_in', 8, { mask: u32le(0x00) });

export const InitIn = struct('fuse_init_in', 64, {
  major: u32le(0x00),
  minor: u32le(0x04),
  max_readahead: u32le(0x08),
  flags: u32le(0x0c),
  /** Valid with INIT_EXT. */
  flags2: u32le(0x10),
});
export const InitOut = struct('fuse_init_out', 64, {
  major: u32le(0x00),
  minor: u32le(0x04),
  max_readahead: u32le(0x08),
  flags: u32le(0x0c),
  max_background: u16le(0x10),
  congestion_threshold: u16le(0x12),
  max_write: u32le(0x14),
  /** Nanoseconds. */
  time_gran: u32le(0x18),
  max_pages: u16le(0x1c),
  map_alignment: u16le(0x1e),
  flags2: u32le(0x20),
  max_stack_depth: u32le(0x24),
  request_timeout: u16le(0x28),
});

export const InterruptIn = struct('fuse_interrupt_in', 8, { unique: u64le(0x00) });

/** Followed by `in_size` bytes of argument. */
export const IoctlIn = struct('fuse_ioctl_in', 32, {
  fh: u64le(0x00),
  flags: u32le(0x08),
  cmd: u32le(0x0c),
  arg: u64le(0x10),
  in_size: u32le(0x18),
  out_size: u32le(0x1c),
});
/** Followed by the data for the caller. */
export const IoctlOut = struct('fuse_ioctl_out', 16, {
  result: i32le(0x00),
  flags: u32le(0x04),
  in_iovs: u32le(0x08),
  out_iovs: u32le(0x0c),
});

export const FallocateIn = struct('fuse_fallocate_in', 32, {
  fh: u64le(0x00),
  offset: u64le(0x08),
  length: u64le(0x10),
  mode: u32le(0x18),
});

/** Followed by the name, padded to 8 bytes. */
export const Dirent = struct('fuse_dirent', 24, {
  ino: u64le(0x00),
  off: u64le(0x08),
  namelen: u32le(0x10),
  /** Bits 12 to 15 of the mode. */
  type: u32le(0x14),
});

export const LseekIn = struct('fuse_lseek_in', 24, {
  fh: u64le(0x00),
  offset: u64le(0x08),
  whence: u32le(0x10),
});
export const LseekOut = struct('fuse_lseek_out', 8, { offset: u64le(0x00) });

export const CopyFileRangeIn = struct('fuse_copy_file_range_in', 56, {
  fh_in: u64le(0x00),
  off_in: u64le(0x08),
  nodeid_out: u64le(0x10),
  fh_out: u64le(0x18),
  off_out: u64le(0x20),
  len: u64le(0x28),
  flags: u64le(0x30),
});

export const StatxIn = struct('fuse_statx_in', 24, {
  getattr_flags: u32le(0x00),
  fh: u64le(0x08),
  sx_flags: u32le(0x10),
  sx_mask: u32le(0x14),
});
/** With the fuse_statx at 0x20. */
export const StatxOut = struct('fuse_statx_out', 288, {
  attr_valid: u64le(0x00),
  attr_valid_nsec: u32le(0x08),
  flags: u32le(0x0c),
  mask: u32le(0x20),
  blksize: u32le(0x24),
  attributes: u64le(0x28),
  nlink: u32le(0x30),
  uid: u32le(0x34),
  gid: u32le(0x38),
  mode: u16le(0x3c),
  ino: u64le(0x40),
  size: u64le(0x48),
  blocks: u64le(0x50),
  attributes_mask: u64le(0x58),
  atime: u64le(0x60),
  atimensec: u32le(0x68),
  btime: u64le(0x70),
  btimensec: u32le(0x78),
  ctime: u64le(0x80),
  ctimensec: u32le(0x88),
  mtime: u64le(0x90),
  mtimensec: u32le(0x98),
  rdev_major: u32le(0xa0),
  rdev_minor: u32le(0xa4),
});

export const NotifyInvalInodeOut = struct('fuse_notify_inval_inode_out', 24, {
  ino: u64le(0x00),
  /** Below 0: the attributes only. */
  off: u64le(0x08),
  /** 0 and below: to the end. */
  len: u64le(0x10),
});
/** Followed by the name and a NUL. */
export const NotifyInvalEntryOut = struct('fuse_notify_inval_entry_out', 16, {
  parent: u64le(0x00),
  namelen: u32le(0x08),
  flags: u32le(0x0c),
});
/** Followed by the name and a NUL. */
export const NotifyDeleteOut = struct('fuse_notify_delete_out', 24, {
  parent: u64le(0x00),
  child: u64le(0x08),
  namelen: u32le(0x10),
});
/** Followed by the data. */
export const NotifyStoreOut = struct('fuse_notify_store_out', 24, {
  nodeid: u64le(0x00),
  offset: u64le(0x08),
  size: u32le(0x10),
});
