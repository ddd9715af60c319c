import { type Timestamp, millisecondsOf } from '../../bytes/time.ts';
import type { Attributes, FileSystem, NodeKind } from '../file-system.ts';
import { constants } from './constants.ts';

const TYPE_BITS: Readonly<Record<NodeKind, number>> = {
  file: constants.S_IFREG,
  directory: constants.S_IFDIR,
  symlink: constants.S_IFLNK,
  'character-device': constants.S_IFCHR,
  'block-device': constants.S_IFBLK,
  fifo: constants.S_IFIFO,
  socket: constants.S_IFSOCK,
};

/** statfs(2)'s f_type: EXT4_SUPER_MAGIC and MSDOS_SUPER_MAGIC of linux/magic.h. */
const EXT_MAGIC = 0xef53;
const FAT_MAGIC = 0x4d44;

/** What Stats, BigIntStats and Dirent tell of a node's kind. */
export abstract class Kinded {
  readonly #kind: NodeKind;

  constructor(kind: NodeKind) {
    this.#kind = kind;
  }

  isFile(): boolean {
    return this.#kind === 'file';
  }

  isDirectory(): boolean {
    return this.#kind === 'directory';
  }

  isSymbolicLink(): boolean {
    return this.#kind === 'symlink';
  }

  isBlockDevice(): boolean {
    return this.#kind === 'block-device';
  }

  isCharacterDevice(): boolean {
    return this.#kind === 'character-device';
  }

  isFIFO(): boolean {
    return this.#kind === 'fifo';
  }

  isSocket(): boolean {
    return this.#kind === 'socket';
  }
}

/** `fs.Stats`. Members are writable, as node's are. */
export class Stats extends Kinded {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blksize: number;
  blocks: number;
  atimeMs: number;
  mtimeMs: number;
  ctimeMs: number;
  birthtimeMs: number;
  atime: Date;
  mtime: Date;
  ctime: Date;
  birthtime: Date;

  constructor(attributes: Attributes, blockSize: number) {
    super(attributes.kind);
    const birthtime = attributes.birthtime ?? earliest(attributes);
    this.dev = 0;
    this.ino = attributes.node;
    this.mode = TYPE_BITS[attributes.kind] | attributes.mode;
    this.nlink = attributes.linkCount;
    this.uid = attributes.uid;
    this.gid = attributes.gid;
    this.rdev = deviceNumber(attributes);
    this.size = attributes.size;
    this.blksize = blockSize;
    this.blocks = Math.ceil(attributes.allocated / 512);
    this.atimeMs = millisecondsOf(attributes.atime);
    this.mtimeMs = millisecondsOf(attributes.mtime);
    this.ctimeMs = millisecondsOf(attributes.ctime);
    this.birthtimeMs = millisecondsOf(birthtime);
    this.atime = new Date(this.atimeMs);
    this.mtime = new Date(this.mtimeMs);
    this.ctime = new Date(this.ctimeMs);
    this.birthtime = new Date(this.birthtimeMs);
  }
}

/** `fs.BigIntStats`: times also in nanoseconds. */
export class BigIntStats extends Kinded {
  dev: bigint;
  ino: bigint;
  mode: bigint;
  nlink: bigint;
  uid: bigint;
  gid: bigint;
  rdev: bigint;
  size: bigint;
  blksize: bigint;
  blocks: bigint;
  atimeMs: bigint;
  mtimeMs: bigint;
  ctimeMs: bigint;
  birthtimeMs: bigint;
  atimeNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
  birthtimeNs: bigint;
  atime: Date;
  mtime: Date;
  ctime: Date;
  birthtime: Date;

  constructor(attributes: Attributes, blockSize: number) {
    super(attributes.kind);
    const plain = new Stats(attributes, blockSize);
    this.dev = BigInt(plain.dev);
    this.ino = BigInt(plain.ino);
    this.mode = BigInt(plain.mode);
    this.nlink = BigInt(plain.nlink);
    this.uid = BigInt(plain.uid);
    this.gid = BigInt(plain.gid);
    this.rdev = BigInt(plain.rdev);
    this.size = BigInt(plain.size);
    this.blksize = BigInt(plain.blksize);
    this.blocks = BigInt(plain.blocks);
    this.atimeNs = nanosecondsOf(attributes.atime);
    this.mtimeNs = nanosecondsOf(attributes.mtime);
    this.ctimeNs = nanosecondsOf(attributes.ctime);
    this.birthtimeNs = nanosecondsOf(attributes.birthtime ?? earliest(attributes));
    this.atimeMs = this.atimeNs / 1_000_000n;
    this.mtimeMs = this.mtimeNs / 1_000_000n;
    this.ctimeMs = this.ctimeNs / 1_000_000n;
    this.birthtimeMs = this.birthtimeNs / 1_000_000n;
    this.atime = plain.atime;
    this.mtime = plain.mtime;
    this.ctime = plain.ctime;
    this.birthtime = plain.birthtime;
  }
}

/** `fs.StatsFs`, in numbers or in bigints. */
export class StatsFs<T extends number | bigint> {
  type: T;
  bsize: T;
  /** Newer than Node 20: the unit of the counts. */
  frsize: T;
  blocks: T;
  bfree: T;
  bavail: T;
  files: T;
  ffree: T;

  constructor(fileSystem: FileSystem, convert: (value: number) => T) {
    const usage = fileSystem.usage();
    this.type = convert(fileSystem.type.startsWith('ext') ? EXT_MAGIC : FAT_MAGIC);
    this.bsize = convert(usage.blockSize);
    this.frsize = this.bsize;
    this.blocks = convert(usage.totalBlocks);
    this.bfree = convert(usage.freeBlocks);
    this.bavail = convert(usage.availableBlocks);
    this.files = convert(usage.totalNodes);
    this.ffree = convert(usage.freeNodes);
  }
}

/** Where the format keeps no time of birth, node gives the earliest of the others that a birth can explain. */
function earliest({ mtime, ctime }: Attributes): Timestamp {
  return millisecondsOf(ctime) < millisecondsOf(mtime) ? ctime : mtime;
}

function nanosecondsOf(time: Timestamp): bigint {
  return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds);
}

/** glibc's makedev(3) for the numbers that Linux uses: 12 bits of major and 20 bits of minor. */
function deviceNumber({ device }: Attributes): number {
  if (device === undefined) return 0;
  const { major, minor } = device;
  return (minor & 0xff) + (major & 0xfff) * 0x100 + Math.floor(minor / 0x100) * 0x10_0000;
}
