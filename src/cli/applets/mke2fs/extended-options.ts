import { parseUuid } from '../../../bytes/uuid.ts';
import type { Io } from '../../io.ts';
import { Failure } from './failure.ts';
import { parseCount, parseUnsigned } from './numbers.ts';

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

/** Belongs to features that ext2 does not have: nothing would come of them. */
const OF_OTHER_FEATURES = new Set([
  'encoding',
  'encoding_flags',
  'mmp_update_interval',
  'packed_meta_blocks',
  'quotatype',
  'orphan_file_size',
  'desc_size',
  'desc-size',
  'no_copy_xattrs',
]);

/** Means nothing without uninit_bg or a journal, in the tool as here. */
const WITHOUT_EFFECT = new Set(['lazy_itable_init', 'lazy_journal_init', 'assume_storage_prezeroed']);

/** `blockSize` is the unit of `resize`, which must be more than the volume's `blockCount`. */
export function parseExtendedOptions(
  io: Io,
  text: string,
  blockSize: number,
  blockCount: number,
): ExtendedOptions {
  const result: ExtendedOptions = {};
  let bad: string | undefined;
  const complain = (message: string): void => {
    io.stderr.write(`${message}\n`);
    bad ??= '';
  };
  for (const token of text.split(',')) {
    if (text === '') break;
    const equals = token.indexOf('=');
    const name = equals < 0 ? token : token.slice(0, equals);
    const value = equals < 0 ? undefined : token.slice(equals + 1);
    if (WITHOUT_EFFECT.has(name)) continue;
    if (OF_OTHER_FEATURES.has(name)) {
      throw new Failure(
        `mke2fs: -E ${name} belongs to a feature that cannot be given to a new file system yet\n`,
      );
    }
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
      default:
    }
    if (value === undefined || !setValue(result, name, value, { blockSize, blockCount }, complain))
      bad = name;
  }
  if (bad !== undefined) throw new Failure(`\nBad option(s) specified: ${bad}\n${VALID}`);
  if (result.stride && result.stripeWidth && result.stripeWidth % result.stride !== 0) {
    io.stderr.write(
      `\nWarning: RAID stripe-width ${result.stripeWidth} not an even multiple of stride ${result.stride}.\n\n`,
    );
  }
  return result;
}

/** False for a name that is unknown. */
function setValue(
  result: ExtendedOptions,
  name: string,
  value: string,
  { blockSize, blockCount }: { blockSize: number; blockCount: number },
  complain: (message: string) => void,
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
    default:
      return false;
  }
}

function parseOwner(value: string): { uid: number; gid: number } | undefined {
  const match = /^(\d*):(\d*)$/.exec(value);
  return match === null ? undefined : { uid: Number(match[1]), gid: Number(match[2]) };
}
