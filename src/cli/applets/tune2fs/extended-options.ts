import { parseUnsigned } from '../e2fsprogs/numbers.ts';
import { Failure } from '../e2fsprogs/failure.ts';

export interface ExtendedOptions {
  /** Blocks. */
  stride?: number;
  /** Blocks. */
  stripeWidth?: number;
  hashVersion?: number;
  mountOptions?: string;
  /** Seconds. */
  multipleMountInterval?: number;
  forceCheck?: boolean;
  testFileSystem?: boolean;
  clearMultipleMount?: boolean;
  /** Blocks, or bytes with a unit, as it was typed. */
  orphanFileSize?: string;
}

const HASHES = ['legacy', 'half_md4', 'tea'];
/** `EXT4_MMP_MAX_UPDATE_INTERVAL`. */
const LARGEST_INTERVAL = 300;

const BAD_OPTIONS =
  '\nBad options specified.\n\nExtended options are separated by commas, and may take an argument which\n' +
  "\tis set off by an equals ('=') sign.\n\nValid extended options are:\n" +
  '\tclear_mmp\n' +
  '\thash_alg=<hash algorithm>\n' +
  '\tmount_opts=<extended default mount options>\n' +
  '\tmmp_update_interval=<mmp update interval in seconds>\n' +
  '\tstride=<RAID per-disk chunk size in blocks>\n' +
  '\tstripe_width=<RAID stride*data disks in blocks>\n' +
  '\tforce_fsck\n' +
  '\ttest_fs\n' +
  '\t^test_fs\n' +
  '\tencoding=<encoding>\n' +
  '\tencoding_flags=<flags>\n';

/** The options of `-E`; `say` and `complain` print what the tool says to them. Failure with its words when one is not understood. */
export function parseExtendedOptions(
  text: string,
  say: (message: string) => void,
  complain: (message: string) => void,
): ExtendedOptions {
  const options: ExtendedOptions = {};
  let complaints = '';
  let isBad = false;
  for (const item of text.split(',')) {
    if (item === '') continue;
    const equals = item.indexOf('=');
    const name = equals < 0 ? item : item.slice(0, equals);
    const value = equals < 0 ? undefined : item.slice(equals + 1);
    const number = value === undefined ? undefined : parseUnsigned(value);
    switch (name) {
      case 'clear-mmp':
      case 'clear_mmp':
        options.clearMultipleMount = true;
        continue;
      case 'mmp_update_interval':
        if (value === undefined) break;
        if (number === undefined) complaints += `Invalid mmp_update_interval: ${value}\n`;
        else if (number > LARGEST_INTERVAL) complaints += `mmp_update_interval too big: ${number}\n`;
        else {
          options.multipleMountInterval = number;
          say(
            `Setting multiple mount protection update interval to ${number} second${number === 1 ? '' : 's'}\n`,
          );
          continue;
        }
        break;
      case 'force_fsck':
        options.forceCheck = true;
        say('Setting filesystem error flag to force fsck.\n');
        continue;
      case 'test_fs':
      case '^test_fs':
        options.testFileSystem = name === 'test_fs';
        say(`${options.testFileSystem ? 'Setting' : 'Clearing'} test filesystem flag\n`);
        continue;
      case 'stride':
        if (value === undefined) break;
        if (number === undefined) complaints += `Invalid RAID stride: ${value}\n`;
        else {
          options.stride = number;
          continue;
        }
        break;
      case 'stripe-width':
      case 'stripe_width':
        if (value === undefined) break;
        if (number === undefined) complaints += `Invalid RAID stripe-width: ${value}\n`;
        else {
          options.stripeWidth = number;
          continue;
        }
        break;
      case 'hash_alg':
      case 'hash-alg': {
        if (value === undefined) break;
        const hash = HASHES.indexOf(value.toLowerCase());
        if (hash < 0) complaints += `Invalid hash algorithm: ${value}\n`;
        else {
          options.hashVersion = hash;
          say(`Setting default hash algorithm to ${value} (${hash})\n`);
          continue;
        }
        break;
      }
      case 'mount_opts':
        if (value === undefined) break;
        // The tool goes on without them.
        if (Buffer.byteLength(value) >= 64) complain('Extended mount options too long\n');
        else options.mountOptions = value;
        continue;
      case 'orphan_file_size':
        if (value === undefined) break;
        options.orphanFileSize = value;
        continue;
      case 'encoding':
      case 'encoding_flags':
        throw new Failure(`tune2fs: the extended option ${name} is not supported here\n`);
      default:
        break;
    }
    isBad = true;
  }
  if (isBad) throw new Failure(`${complaints}${BAD_OPTIONS}`);
  return options;
}
