import type { QuotaKind } from '../../../filesystem/file-system.ts';
import { parseUuid } from '../../../bytes/uuid.ts';
import type { Io } from '../../io.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { parseCount, parseUnsigned } from '../e2fsprogs/numbers.ts';

/** What `-E` says. */
export interface ExtendedOptions {
  /** Bytes from the start of the device. */
  offset?: number;
  /** Blocks. */
  resize?: number;
  stride?: number;
  stripeWidth?: number;
  backupSuperblocks?: number;
  hashSeed?: Uint8Array;
  /** `caller`: whoever runs the command. */
  rootOwner?: { uid: number; gid: number } | 'caller';
  discard?: boolean;
  testFileSystem?: boolean;
  packedMetaBlocks?: boolean;
  /** Seconds. */
  mmpInterval?: number;
  quotaTypes?: QuotaKind[];
  /** Bytes. */
  orphanFileSize?: number;
  encodingFlags?: number;
  /** An encoding was named. */
  encoding?: boolean;
  lazyInodeTables?: boolean;
  lazyJournal?: boolean;
  /** Of what -d copies. */
  copyXattrs?: boolean;
  storageZeroed?: boolean;
}

const VALID =
  '\nExtended options are separated by commas, and may take an argument which\n' +
  "\tis set off by an equals ('=') sign.\n\nValid extended options are:\n" +
  '\tmmp_update_interval=<interval>\n' +
  '\tnum_backup_sb=<0|1|2>\n' +
  '\tstride=<RAID per-disk data chunk in blocks>\n' +
  '\tstripe-width=<RAID stride * data disks in blocks>\n' +
  '\toffset=<offset to create the file system>\n' +
  '\tresize=<resize maximum size in blocks>\n' +
  '\tpacked_meta_blocks=<0 to disable, 1 to enable>\n' +
  '\tlazy_itable_init=<0 to disable, 1 to enable>\n' +
  '\tlazy_journal_init=<0 to disable, 1 to enable>\n' +
  '\troot_owner=<uid of root dir>:<gid of root dir>\n' +
  '\ttest_fs\n\tdiscard\n\tnodiscard\n' +
  '\tencoding=<encoding>\n\tencoding_flags=<flags>\n' +
  '\tquotatype=<quota type(s) to be enabled>\n' +
  '\tassume_storage_prezeroed=<0 to disable, 1 to enable>\n\n';

/** What some options depend on. */
interface Volume {
  /** Bytes: the unit of `resize`, and of the file of orphans. */
  readonly blockSize: number;
  /** `resize` must be more. */
  readonly blockCount: number;
}

export function parseExtendedOptions(io: Io, text: string, volume: Volume): ExtendedOptions {
  const result: ExtendedOptions = {};
  let bad: string | undefined;
  const complain = (message: string, end = '\n'): void => {
    io.stderr.write(`${message}${end}`);
    bad ??= '';
  };
  for (const token of text.split(',')) {
    if (text === '') break;
    const equals = token.indexOf('=');
    const name = equals < 0 ? token : token.slice(0, equals);
    const value = equals < 0 ? undefined : token.slice(equals + 1);
    switch (name) {
      case 'discard':
      case 'nodiscard':
        result.discard = name === 'discard';
        continue;
      case 'test_fs':
        result.testFileSystem = true;
        continue;
      case 'root_owner':
        if (value === undefined) result.rootOwner = 'caller';
        else {
          const owner = parseOwner(value);
          if (owner === undefined) complain(`Invalid root_owner: '${value}'`);
          else result.rootOwner = owner;
        }
        continue;
      case 'lazy_itable_init':
        result.lazyInodeTables = value === undefined || Number.parseInt(value, 10) !== 0;
        continue;
      case 'no_copy_xattrs':
        result.copyXattrs = false;
        continue;
      case 'lazy_journal_init':
        result.lazyJournal = value === undefined || Number.parseInt(value, 10) !== 0;
        continue;
      case 'assume_storage_prezeroed':
        result.storageZeroed = value === undefined || Number.parseInt(value, 10) !== 0;
        continue;
      case 'packed_meta_blocks':
        result.packedMetaBlocks = value === undefined || Number.parseInt(value, 10) !== 0;
        continue;
      case 'desc-size':
      case 'desc_size':
        throw new Failure(
          `mke2fs: -E ${name} is not supported: descriptors have 64 bytes with the feature 64bit, else 32\n`,
        );
      default:
    }
    if (value === undefined || !setValue(io, result, name, value, volume, complain)) bad = name;
  }
  if (bad !== undefined) throw new Failure(`\nBad option(s) specified: ${bad}\n${VALID}`);
  if (result.encodingFlags !== undefined && result.encoding !== true) {
    throw new Failure('error: An encoding must be explicitly specified when passing encoding-flags\n');
  }
  if (result.stride && result.stripeWidth && result.stripeWidth % result.stride !== 0) {
    io.stderr.write(
      `\nWarning: RAID stripe-width ${result.stripeWidth} not an even multiple of stride ${result.stride}.\n\n`,
    );
  }
  return result;
}

/** False for a name that is unknown. */
function setValue(
  io: Io,
  result: ExtendedOptions,
  name: string,
  value: string,
  { blockSize, blockCount }: Volume,
  complain: (message: string, end?: string) => void,
): boolean {
  switch (name) {
    case 'offset': {
      const offset = parseUnsigned(value);
      if (offset === undefined) complain(`Invalid offset: ${value}`);
      else result.offset = offset;
      return true;
    }
    case 'resize': {
      const resize = parseCount(value, blockSize);
      if (resize === 0) complain(`Invalid resize parameter: ${value}`);
      else if (resize <= blockCount) complain('The resize maximum must be greater than the filesystem size.');
      else result.resize = resize;
      return true;
    }
    case 'stride': {
      const stride = parseUnsigned(value);
      if (stride === undefined) complain(`Invalid stride parameter: ${value}`);
      else result.stride = stride;
      return true;
    }
    case 'stripe-width':
    case 'stripe_width': {
      const width = parseUnsigned(value);
      if (width === undefined) complain(`Invalid stripe-width parameter: ${value}`);
      else result.stripeWidth = width;
      return true;
    }
    case 'num_backup_sb': {
      const count = parseUnsigned(value);
      if (count === undefined || count > 2) complain(`Invalid # of backup superblocks: ${value}`);
      else result.backupSuperblocks = count;
      return true;
    }
    case 'hash_seed': {
      const seed = parseUuid(value);
      if (seed === undefined) complain(`Invalid hash seed: ${value}`);
      else result.hashSeed = seed;
      return true;
    }
    case 'mmp_update_interval': {
      const interval = parseUnsigned(value);
      if (interval === undefined) complain(`Invalid mmp_update_interval: ${value}`);
      else result.mmpInterval = interval;
      return true;
    }
    case 'orphan_file_size': {
      // A number without a unit is one of blocks.
      const count = parseCount(value, blockSize);
      if (count < 1) complain(`Invalid size of orphan file ${value}`);
      else result.orphanFileSize = count * blockSize;
      return true;
    }
    case 'encoding':
      if (value !== 'utf8' && value !== 'utf8-12.1') {
        io.stderr.write(`Invalid encoding: ${value}`);
        complain('', '');
      } else {
        result.encodingFlags ??= 0;
        result.encoding = true;
      }
      return true;
    case 'encoding_flags':
      if (value === 'strict') result.encodingFlags = 1;
      else throw new Failure(`error: Invalid encoding flag: ${value}\n`);
      return true;
    case 'quotatype':
      result.quotaTypes = [];
      for (const part of value.split(':')) {
        const type = QUOTA_TYPES[part];
        if (type === undefined) {
          io.stderr.write(`Failed to parse quota type at ${part}`);
          return false;
        }
        result.quotaTypes.push(type);
      }
      return true;
    default:
      return false;
  }
}

const QUOTA_TYPES: Readonly<Record<string, QuotaKind>> = {
  usrquota: 'user',
  grpquota: 'group',
  prjquota: 'project',
};

function parseOwner(value: string): { uid: number; gid: number } | undefined {
  const match = /^(\d*):(\d*)$/.exec(value);
  return match === null ? undefined : { uid: Number(match[1]), gid: Number(match[2]) };
}
