import { bytes, i32le, struct, token64le, u32le, u64le } from '../bytes/struct.ts';

/**
 * What the kernel's loop driver and its block layer are told through ioctl(2), as a 64-bit little-endian Linux lays it
 * out: include/uapi/linux/loop.h, linux/blkpg.h, linux/fs.h; loop(4).
 */

/** `struct loop_info64`. */
export const LoopInfo = struct('loop_info64', 232, {
  lo_device: u64le(0x00), // st_dev of the backing file, read only
  lo_inode: u64le(0x08), // st_ino of the backing file, read only
  lo_rdevice: u64le(0x10),
  lo_offset: u64le(0x18), // bytes
  lo_sizelimit: u64le(0x20), // bytes; 0: to the end of the file
  lo_number: u32le(0x28), // read only
  lo_encrypt_type: u32le(0x2c), // always 0
  lo_encrypt_key_size: u32le(0x30), // always 0
  lo_flags: u32le(0x34), // LoopFlag
  lo_file_name: bytes(0x38, 64), // what the user called it; cut off, and ends with NUL
  lo_crypt_name: bytes(0x78, 64),
  lo_encrypt_key: bytes(0xb8, 32),
  lo_init: bytes(0xd8, 16),
});

/** `struct loop_config`: everything in one step, since Linux 5.8. */
export const LoopConfig = struct('loop_config', 304, {
  fd: u32le(0x00), // of the backing file
  block_size: u32le(0x04), // logical sector, bytes; 0: the driver's default
  info: bytes(0x08, 232), // LoopInfo
});

/** Where `info` starts in `LoopConfig`. */
export const LOOP_CONFIG_INFO = LoopConfig.info.offset;

/** `struct blkpg_ioctl_arg`. */
export const PartitionArgument = struct('blkpg_ioctl_arg', 24, {
  op: i32le(0x00), // PartitionOperation
  flags: i32le(0x04),
  datalen: i32le(0x08), // size of what `data` points to
  data: token64le(0x10), // address of a PartitionRecord
});

/** `struct blkpg_partition`. */
export const PartitionRecord = struct('blkpg_partition', 152, {
  start: u64le(0x00), // bytes
  length: u64le(0x08), // bytes
  pno: i32le(0x10), // number, from 1
  devname: bytes(0x14, 64), // not used
  volname: bytes(0x54, 64), // not used
});

/** LO_FLAGS_*. */
export const LoopFlag = {
  readOnly: 1,
  autoclear: 4,
  partitionScan: 8,
  directIo: 16,
} as const;

/** Request numbers. */
export const LoopRequest = {
  LOOP_SET_FD: 0x4c00,
  LOOP_CLR_FD: 0x4c01,
  LOOP_SET_STATUS64: 0x4c04,
  LOOP_GET_STATUS64: 0x4c05,
  LOOP_SET_CAPACITY: 0x4c07,
  LOOP_SET_DIRECT_IO: 0x4c08,
  LOOP_SET_BLOCK_SIZE: 0x4c09,
  LOOP_CONFIGURE: 0x4c0a,
  LOOP_CTL_ADD: 0x4c80,
  LOOP_CTL_REMOVE: 0x4c81,
  LOOP_CTL_GET_FREE: 0x4c82,
} as const;

export const BlockRequest = {
  BLKROSET: 0x125d,
  BLKRRPART: 0x125f,
  BLKPG: 0x1269,
  BLKGETSIZE64: 0x80081272, // as the architectures with the common _IOC layout number it: x86, Arm, RISC-V
} as const;

/** BLKPG_*. */
export const PartitionOperation = { add: 1, remove: 2 } as const;
