import type { QuotaKind } from '../../../filesystem/file-system.ts';
import type { MountOptions } from '../../../attach/mount-request.ts';
import { MountFlag } from '../../../host/native-mount.ts';
import { accountId } from './account.ts';
import { MountExit, MountFailure } from './mount-failure.ts';
import type { MountWishes } from './mount-wishes.ts';
import type { MountOption } from './option-list.ts';
import { formatOption, formatOptionList } from './option-list.ts';

/** For which of our drivers. */
export type DriverFamily = 'fat' | 'ext';

/** ext4's `commit=0`. */
const USUAL_COMMIT_SECONDS = 5;

type Changes = { -readonly [Name in keyof MountOptions]?: MountOptions[Name] };

/** What an option does to the request; a text says why it cannot be had. */
type Rule = (value: string | undefined, changes: Changes, wishes: MountWishes) => string | void;

const accepted: Rule = (value) => (value === undefined ? undefined : 'takes no value');

/** Only these values are what the driver does anyway. */
function only(...values: readonly string[]): Rule {
  return (value) =>
    value !== undefined && values.includes(value) ? undefined : `only takes ${values.join(', ')}`;
}

function mask(...names: readonly ('fileMask' | 'directoryMask')[]): Rule {
  return (value, changes) => {
    if (value === undefined || !/^[0-7]{1,4}$/.test(value)) return 'needs an octal number';
    for (const name of names) changes[name] = parseInt(value, 8);
  };
}

function account(kind: 'user' | 'group'): Rule {
  return (value, changes) => {
    const id = accountId(value ?? '', kind);
    if (id === undefined) return `needs the name or number of a ${kind}`;
    changes[kind === 'user' ? 'uid' : 'gid'] = id;
  };
}

/** Of both, and of FUSE. */
const COMMON: Readonly<Record<string, Rule | undefined>> = {
  uid: account('user'),
  gid: account('group'),
  allow_other: (_, changes) => void (changes.allowOther = true),
  default_permissions: (_, changes) => void (changes.defaultPermissions = true),
  writeback_cache: (_, changes) => void (changes.writeBack = true),
};

/** Linux Documentation/filesystems/vfat.rst and mount(8). */
const FAT: Readonly<Record<string, Rule | undefined>> = {
  umask: mask('fileMask', 'directoryMask'),
  fmask: mask('fileMask'),
  dmask: mask('directoryMask'),
  fat: (value, changes) => {
    if (value !== '12' && value !== '16' && value !== '32') return 'needs 12, 16 or 32';
    changes.fatBits = Number(value) as 12 | 16 | 32;
  },
  quiet: (_, changes) => void (changes.quiet = true),
  showexec: (_, changes) => void (changes.showExec = true),
  tz: (value, changes) => {
    if (value !== 'UTC') return 'only takes UTC';
    changes.utcOffsetMinutes = 0;
  },
  time_offset: (value, changes) => {
    if (value === undefined || !/^-?\d{1,4}$/.test(value) || Math.abs(Number(value)) > 24 * 60)
      return 'needs minutes from -1440 to 1440';
    changes.utcOffsetMinutes = Number(value);
  },
  // Sooner than at once cannot be.
  flush: (_, changes) => void (changes.synchronous = true),
  check: only('n', 'normal'),
  codepage: only('437'),
  iocharset: only('utf8'),
  utf8: (value) => only('1', 'true', 'yes')(value ?? '1', {}, undefined as never),
  shortname: only('mixed'),
  conv: only('b', 'binary'),
  errors: errorsRule,
  nonumtail: only('0', 'no', 'false'),
  nodots: accepted,
  nodiscard: accepted,
};

/** Linux Documentation/admin-guide/ext4.rst, filesystems/ext2.rst. */
const EXT: Readonly<Record<string, Rule | undefined>> = {
  errors: errorsRule,
  noload: replayRule,
  norecovery: replayRule,
  data: journalModeRule,
  commit: (value, changes) => {
    if (value === undefined || !/^\d{1,5}$/.test(value)) return 'needs seconds, 0 for the usual 5';
    changes.commitSeconds = Number(value) || USUAL_COMMIT_SECONDS;
  },
  barrier: barrierRule,
  nobarrier: (_, changes) => void (changes.withoutBarriers = true),
  discard: (_, changes) => void (changes.discard = true),
  nodiscard: (_, changes) => void (changes.discard = false),
  journal_checksum: (_, changes) => void (changes.journalChecksum = true),
  // As the kernel: where metadata have checksums, so has the journal.
  nojournal_checksum: (_, changes) => void (changes.journalChecksum = false),
  grpid: (_, changes) => void (changes.groupOfDirectory = true),
  bsdgroups: (_, changes) => void (changes.groupOfDirectory = true),
  nogrpid: (_, changes) => void (changes.groupOfDirectory = false),
  sysvgroups: (_, changes) => void (changes.groupOfDirectory = false),
  // Blocks are taken when content is written, and content is there before what leads to it is committed.
  nodelalloc: accepted,
  delalloc: () => 'is not supported: blocks are taken at once, as with nodelalloc',
  auto_da_alloc: autoAllocationRule,
  // A new volume's tables are never written in the background.
  noinit_itable: accepted,
  bsddf: accepted,
  user_xattr: accepted,
  noacl: accepted,
  nocheck: accepted,
  check: only('none'),
  quota: quotaRule('user'),
  usrquota: quotaRule('user'),
  grpquota: quotaRule('group'),
  prjquota: quotaRule('project'),
  noquota: (value, changes) => {
    if (value !== undefined) return 'takes no value';
    delete changes.quotaLimits;
  },
  nouid32: () => 'is not supported',
};

/** Use is counted in any case, where the volume has the feature. */
function quotaRule(kind: QuotaKind): Rule {
  return (value, changes) => {
    if (value !== undefined) return 'takes no value';
    changes.quotaLimits = [...(changes.quotaLimits ?? []).filter((other) => other !== kind), kind];
  };
}

/** Content is always there before what leads to it is committed, which is more than `writeback` promises. */
function journalModeRule(value: string | undefined, changes: Changes): string | void {
  if (value !== 'ordered' && value !== 'writeback') return 'only takes ordered and writeback';
  changes.journalMode = value;
}

function barrierRule(value: string | undefined, changes: Changes): string | void {
  if (value !== undefined && value !== '0' && value !== '1') return 'only takes 0 and 1';
  changes.withoutBarriers = value === '0';
}

function autoAllocationRule(value: string | undefined): string | void {
  if (value !== undefined && value !== '1') return 'only takes 1';
}

/** What damage does to us is an EIO for whoever came across it. What is read-only already stays that. */
function errorsRule(value: string | undefined, _: Changes, wishes: MountWishes): string | void {
  if (value === 'continue') return;
  const isReadOnly = (wishes.flags & MountFlag.readOnly) !== 0;
  if (value !== 'remount-ro' || !isReadOnly) return 'only takes continue, and with ro remount-ro';
}

function replayRule(_: string | undefined, changes: Changes, wishes: MountWishes): string | void {
  if ((wishes.flags & MountFlag.readOnly) === 0) return 'needs ro, since the journal may be full';
  changes.withoutReplay = true;
}

/** What our own drivers are told. MountFailure names the first option that cannot be had. */
export function userMountOptions(
  wishes: MountWishes,
  family: DriverFamily | undefined,
  target: string,
): MountOptions {
  const changes: Changes = {};
  for (const option of wishes.fileSystem) apply(option, changes, wishes, family, target);
  const has = (flag: number): boolean => (wishes.flags & flag) !== 0;
  for (const [flag, name] of REFUSED_FLAGS) {
    if (has(flag)) throw refusal(target, { name, value: undefined }, 'is not supported');
  }
  const accessTime = has(MountFlag.noAtime)
    ? 'none'
    : has(MountFlag.strictAtime)
      ? 'strict'
      : has(MountFlag.relativeAtime)
        ? 'relative'
        : undefined;
  return {
    ...(has(MountFlag.noExec) && { noExec: true }),
    ...(has(MountFlag.noSuid) && { noSuid: true }),
    ...(has(MountFlag.noDev) && { noDev: true }),
    ...((has(MountFlag.synchronous) || has(MountFlag.directorySync)) && { synchronous: true }),
    ...(accessTime !== undefined && { accessTime }),
    ...(has(MountFlag.noDirectoryAtime) && { directoryAccessTime: false as const }),
    ...changes,
    readOnly: has(MountFlag.readOnly),
    text: formatOptionList(wishes.all),
  };
}

const REFUSED_FLAGS: readonly (readonly [flag: number, name: string])[] = [
  [MountFlag.mandatoryLocks, 'mand'],
  [MountFlag.noSymlinkFollow, 'nosymfollow'],
  [MountFlag.lazyTime, 'lazytime'],
  [MountFlag.inodeVersion, 'iversion'],
];

function apply(
  option: MountOption,
  changes: Changes,
  wishes: MountWishes,
  family: DriverFamily | undefined,
  target: string,
): void {
  const own = family === 'fat' ? FAT : family === 'ext' ? EXT : {};
  const rule = COMMON[option.name] ?? own[option.name];
  if (rule === undefined) {
    const known = FAT[option.name] !== undefined || EXT[option.name] !== undefined;
    const why = !known
      ? 'is not supported'
      : family === undefined
        ? 'belongs to a file system that is not there'
        : `is not one of ${family === 'fat' ? 'FAT' : 'ext'}`;
    throw refusal(target, option, why);
  }
  const problem = rule(option.value, changes, wishes);
  if (typeof problem === 'string') throw refusal(target, option, problem);
}

function refusal(target: string, option: MountOption, why: string): MountFailure {
  return new MountFailure(`${target}: bad option "${formatOption(option)}": it ${why}.`, MountExit.failed);
}
