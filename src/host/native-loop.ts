import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { FsError } from '../errors.ts';
import {
  BlockRequest,
  LOOP_CONFIG_INFO,
  LoopConfig,
  LoopFlag,
  LoopInfo,
  LoopRequest,
  PartitionArgument,
  PartitionOperation,
  PartitionRecord,
} from './loop-structures.ts';
import { nativeError } from './native-error.ts';
import { loadLibC } from './native-file.ts';
import { encodeUtf8Into, utf8Length } from '../bytes/utf8.ts';

/**
 * The kernel's loop driver, by its ioctls. Every call throws an error with the errno's code: EBUSY where a device is in
 * use already, ENXIO where nothing is attached. Needs koffi, which is optional.
 */
export interface NativeLoopOperations {
  /** The first unit that is not in use; made when there is none. `control` is open on /dev/loop-control. */
  firstFree(control: number): number;
  /** Makes the unit; EEXIST when it is there. */
  add(control: number, unit: number): void;
  remove(control: number, unit: number): void;
  /** Attaches the open file `image` to the open device, wholly or not at all. */
  configure(device: number, image: number, request: LoopConfiguration): void;
  status(device: number): LoopStatus;
  /** LO_FLAGS_AUTOCLEAR as given; what else is set stays. */
  setAutoclear(device: number, autoclear: boolean): void;
  /** Lets the file go: now, or where somebody has the device open with the last who closes it. */
  clear(device: number): void;
  /** Takes the size of the file anew. */
  setCapacity(device: number): void;
  setDirectIo(device: number, on: boolean): void;
  /** Logical sector, bytes. */
  setBlockSize(device: number, size: number): void;
  setReadOnly(device: number, readOnly: boolean): void;
  /** Bytes. */
  size(device: number): number;
  rereadPartitions(device: number): void;
  /** Start and length are bytes. */
  addPartition(device: number, number: number, start: number, length: number): void;
  removePartition(device: number, number: number): void;
}

export interface LoopConfiguration {
  /** What the user calls the file: only kept, and cut at 63 bytes. */
  readonly name: string;
  /** Bytes. */
  readonly offset: number;
  /** Bytes; 0: to the end. */
  readonly sizeLimit: number;
  /** Logical sector, bytes; 0: the driver's own choice. */
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partitionScan: boolean;
  readonly directIo: boolean;
}

export interface LoopStatus {
  readonly unit: number;
  /** st_dev and st_ino of the backing file. */
  readonly imageDevice: number;
  readonly imageInode: number;
  /** Bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly sizeLimit: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partitionScan: boolean;
  readonly directIo: boolean;
}

/** How often SET_STATUS64 is tried that finds pages of the device in use: EAGAIN, with 25 ms between. */
const STATUS_ATTEMPTS = 16;

let operations: NativeLoopOperations | undefined;

/** Undefined without koffi, off Linux, and where the structures are laid out in another way. */
export function nativeLoopOperations(): NativeLoopOperations | undefined {
  operations ??= bind();
  return operations;
}

function bind(): NativeLoopOperations | undefined {
  const libc = loadLibC();
  if (libc === undefined || new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) return undefined;
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  if (koffi.sizeof('void *') !== 8) return undefined;
  // Declared without the ellipsis of the C prototype: on all 64-bit Linux ABIs the third argument then goes the same way.
  const ioctlNumber = libc.func('ioctl', 'int', ['int', 'ulong', 'long']);
  const ioctlPointer = libc.func('ioctl', 'int', ['int', 'ulong', 'void *']);

  function withNumber(name: keyof typeof LoopRequest, fd: number, argument: number): number {
    const result = Number(ioctlNumber(fd, LoopRequest[name], argument));
    if (result < 0) throw nativeError(name);
    return result;
  }
  function withPointer(name: string, request: number, fd: number, argument: Uint8Array): void {
    if (Number(ioctlPointer(fd, request, argument)) < 0) throw nativeError(name);
  }
  function partition(fd: number, op: number, number: number, start: number, length: number): void {
    // Memory of its own, whose address stays.
    const record = new Uint8Array(new ArrayBuffer(PartitionRecord.$size));
    const recordView = new DataView(record.buffer);
    PartitionRecord.start.set(recordView, 0, start);
    PartitionRecord.length.set(recordView, 0, length);
    PartitionRecord.pno.set(recordView, 0, number);
    const argument = new Uint8Array(PartitionArgument.$size);
    const view = new DataView(argument.buffer);
    PartitionArgument.op.set(view, 0, op);
    PartitionArgument.datalen.set(view, 0, record.length);
    PartitionArgument.data.set(view, 0, BigInt(koffi.address(record)));
    withPointer('BLKPG', BlockRequest.BLKPG, fd, argument);
  }
  function getStatus(device: number): DataView {
    const info = new Uint8Array(LoopInfo.$size);
    withPointer('LOOP_GET_STATUS64', LoopRequest.LOOP_GET_STATUS64, device, info);
    return new DataView(info.buffer);
  }
  function setStatus(device: number, info: Uint8Array): void {
    for (let attempt = 1; ; attempt++) {
      if (Number(ioctlPointer(device, LoopRequest.LOOP_SET_STATUS64, info)) === 0) return;
      const error = nativeError('LOOP_SET_STATUS64');
      if (!('code' in error && error.code === 'EAGAIN') || attempt === STATUS_ATTEMPTS) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 25);
    }
  }
  /** As it was done before Linux 5.8, in steps; what was done is taken back when one fails. */
  function configureInSteps(device: number, image: number, request: LoopConfiguration): void {
    withNumber('LOOP_SET_FD', device, image);
    try {
      setStatus(device, encodeInfo(request));
      if (request.sectorSize !== 0) withNumber('LOOP_SET_BLOCK_SIZE', device, request.sectorSize);
      if (request.directIo) withNumber('LOOP_SET_DIRECT_IO', device, 1);
    } catch (error) {
      ioctlNumber(device, LoopRequest.LOOP_CLR_FD, 0);
      throw error;
    }
  }

  return {
    firstFree: (control) => withNumber('LOOP_CTL_GET_FREE', control, 0),
    add: (control, unit) => void withNumber('LOOP_CTL_ADD', control, unit),
    remove: (control, unit) => void withNumber('LOOP_CTL_REMOVE', control, unit),
    configure(device, image, request) {
      const config = new Uint8Array(LoopConfig.$size);
      const view = new DataView(config.buffer);
      LoopConfig.fd.set(view, 0, image);
      LoopConfig.block_size.set(view, 0, request.sectorSize);
      config.set(encodeInfo(request), LOOP_CONFIG_INFO);
      if (Number(ioctlPointer(device, LoopRequest.LOOP_CONFIGURE, config)) === 0) return;
      const error = nativeError('LOOP_CONFIGURE');
      // A kernel that does not know the request says so with either of these.
      if ('code' in error && (error.code === 'EINVAL' || error.code === 'ENOTTY'))
        configureInSteps(device, image, request);
      else throw error;
    },
    status: (device) => decodeStatus(getStatus(device)),
    setAutoclear(device, autoclear) {
      const view = getStatus(device);
      const flags = LoopInfo.lo_flags.get(view, 0);
      LoopInfo.lo_flags.set(view, 0, autoclear ? flags | LoopFlag.autoclear : flags & ~LoopFlag.autoclear);
      setStatus(device, new Uint8Array(view.buffer));
    },
    clear: (device) => void withNumber('LOOP_CLR_FD', device, 0),
    setCapacity: (device) => void withNumber('LOOP_SET_CAPACITY', device, 0),
    setDirectIo: (device, on) => void withNumber('LOOP_SET_DIRECT_IO', device, on ? 1 : 0),
    setBlockSize: (device, size) => void withNumber('LOOP_SET_BLOCK_SIZE', device, size),
    setReadOnly(device, readOnly) {
      withPointer(
        'BLKROSET',
        BlockRequest.BLKROSET,
        device,
        new Uint8Array(Int32Array.of(readOnly ? 1 : 0).buffer),
      );
    },
    size(device) {
      const size = new Uint8Array(8);
      withPointer('BLKGETSIZE64', BlockRequest.BLKGETSIZE64, device, size);
      return Number(new DataView(size.buffer).getBigUint64(0, true));
    },
    rereadPartitions(device) {
      if (Number(ioctlNumber(device, BlockRequest.BLKRRPART, 0)) < 0) throw nativeError('BLKRRPART');
    },
    addPartition: (device, number, start, length) =>
      partition(device, PartitionOperation.add, number, start, length),
    removePartition: (device, number) => partition(device, PartitionOperation.remove, number, 0, 0),
  };
}

/** The file's name ends at the last character that fits with a NUL behind it. */
function encodeInfo(request: LoopConfiguration): Uint8Array {
  const info = new Uint8Array(LoopInfo.$size);
  const view = new DataView(info.buffer);
  LoopInfo.lo_offset.set(view, 0, request.offset);
  LoopInfo.lo_sizelimit.set(view, 0, request.sizeLimit);
  let flags = 0;
  if (request.readOnly) flags |= LoopFlag.readOnly;
  if (request.autoclear) flags |= LoopFlag.autoclear;
  if (request.partitionScan) flags |= LoopFlag.partitionScan;
  if (request.directIo) flags |= LoopFlag.directIo;
  LoopInfo.lo_flags.set(view, 0, flags);
  const name = new Uint8Array(utf8Length(request.name));
  encodeUtf8Into(request.name, name);
  LoopInfo.lo_file_name.set(view, 0, name.subarray(0, LoopInfo.lo_file_name.length - 1));
  return info;
}

function decodeStatus(view: DataView): LoopStatus {
  const flags = LoopInfo.lo_flags.get(view, 0);
  return {
    unit: LoopInfo.lo_number.get(view, 0),
    imageDevice: LoopInfo.lo_device.get(view, 0),
    imageInode: LoopInfo.lo_inode.get(view, 0),
    offset: LoopInfo.lo_offset.get(view, 0),
    sizeLimit: LoopInfo.lo_sizelimit.get(view, 0),
    readOnly: (flags & LoopFlag.readOnly) !== 0,
    autoclear: (flags & LoopFlag.autoclear) !== 0,
    partitionScan: (flags & LoopFlag.partitionScan) !== 0,
    directIo: (flags & LoopFlag.directIo) !== 0,
  };
}

/** The operations, or ENOSYS with the reason: for those who cannot do without. */
export function requireNativeLoop(): NativeLoopOperations {
  const native = nativeLoopOperations();
  if (native === undefined) {
    throw new FsError('ENOSYS', {
      detail: "the kernel's loop devices need the optional package koffi, and it cannot be loaded here",
    });
  }
  return native;
}
