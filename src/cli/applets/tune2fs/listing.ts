import { formatUuid } from '../../../bytes/uuid.ts';
import { featureNames, readFeatures } from '../../../filesystem/ext/features.ts';
import {
  CompatibleFeature,
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
} from '../../../filesystem/ext/superblock.ts';
import { calendarTime, intervalText } from './calendar.ts';
import { mountOptionNames } from './mount-options.ts';

/** Names of users and groups. */
export interface Accounts {
  user(uid: number): string | undefined;
  group(gid: number): string | undefined;
}

const SYSTEMS = ['Linux', 'Hurd', 'Masix', 'FreeBSD', 'Lites'];
const HASHES = [
  'legacy',
  'half_md4',
  'tea',
  'legacy_unsigned',
  'half_md4_unsigned',
  'tea_unsigned',
  'siphash',
];
const FLAGS = ['signed_directory_hash', 'unsigned_directory_hash', 'test_filesystem'];
const ERRNO_NAMES = [
  'UNKNOWN',
  'EIO',
  'ENOMEM',
  'EFSBADCRC',
  'EFSCORRUPTED',
  'ENOSPC',
  'ENOKEY',
  'EROFS',
  'EFBIG',
  'EEXIST',
  'ERANGE',
  'EOVERFLOW',
  'EBUSY',
  'ENOTDIR',
  'ENOTEMPTY',
  'ESHUTDOWN',
  'EFAULT',
];

/** The superblock as `tune2fs -l` of e2fsprogs 1.47.0 prints it. */
export function superblockListing(view: DataView, accounts: Accounts): string {
  const words = readFeatures(view);
  const hasCompatible = (bit: number): boolean => (words.compatible & bit) !== 0;
  const hasIncompatible = (bit: number): boolean => (words.incompatible & bit) !== 0;
  const hasReadOnly = (bit: number): boolean => (words.readOnlyCompatible & bit) !== 0;
  const S = (field: NumberField): number => Superblock[field].get(view, 0);
  let text = '';
  const line = (label: string, value: string | number): void => {
    text += `${`${label}:`.padEnd(26)}${value}\n`;
  };
  const time = (label: string, seconds: number): void => {
    text += `${`${label}:`.padEnd(26)}${calendarTime(seconds)}`;
  };
  const positive = (label: string, value: number): void => {
    if (value !== 0) line(label, value);
  };
  const uuid = (label: string, value: Uint8Array): void => {
    if (value.some((byte) => byte !== 0)) line(label, formatUuid(value));
  };

  line('Filesystem volume name', cString(Superblock.s_volume_name.get(view, 0)) || '<none>');
  line('Last mounted on', cString(Superblock.s_last_mounted.get(view, 0)) || '<not available>');
  const ownUuid = Superblock.s_uuid.get(view, 0);
  line('Filesystem UUID', ownUuid.some((byte) => byte !== 0) ? formatUuid(ownUuid) : '<none>');
  line('Filesystem magic number', `0x${S('s_magic').toString(16).toUpperCase().padStart(4, '0')}`);
  const revision = S('s_rev_level');
  line('Filesystem revision #', `${revision} (${['original', 'dynamic'][revision] ?? 'unknown'})`);
  const names = featureNames(words).map((name) => (name === 'btree_dir' ? 'FEATURE_R2' : name));
  line('Filesystem features', names.length > 0 ? names.join(' ') : '(none)');
  const flags = S('s_flags');
  if (flags !== 0) {
    const set = FLAGS.filter((_, bit) => (flags & (1 << bit)) !== 0);
    line('Filesystem flags', set.length > 0 ? `${set.join(' ')} ` : '(none)');
  }
  line('Default mount options', mountOptionNames(S('s_default_mount_opts')).join(' ') || '(none)');
  const mountOptions = Superblock.s_mount_opts.get(view, 0);
  if (mountOptions !== '') line('Mount options', mountOptions);
  const state = S('s_state');
  line(
    'Filesystem state',
    `${(state & 1) !== 0 ? 'clean' : 'not clean'}${(state & 2) !== 0 ? ' with errors' : ''}`,
  );
  const errors = ['Unknown (continue)', 'Continue', 'Remount read-only', 'Panic'];
  line('Errors behavior', errors[S('s_errors')] ?? errors[0]!);
  line('Filesystem OS type', SYSTEMS[S('s_creator_os')] ?? `(unknown os)`);
  line('Inode count', S('s_inodes_count'));
  const is64bit = hasIncompatible(IncompatibleFeature['64bit']);
  const wide = (low: NumberField, high: NumberField): number =>
    S(low) + (is64bit ? S(high) * 0x1_0000_0000 : 0);
  line('Block count', wide('s_blocks_count_lo', 's_blocks_count_hi'));
  line('Reserved block count', wide('s_r_blocks_count_lo', 's_r_blocks_count_hi'));
  positive('Overhead clusters', S('s_overhead_blocks'));
  line('Free blocks', wide('s_free_blocks_count_lo', 's_free_blocks_count_hi'));
  line('Free inodes', S('s_free_inodes_count'));
  line('First block', S('s_first_data_block'));
  const blockSize = 1024 * 2 ** S('s_log_block_size');
  line('Block size', blockSize);
  const bigalloc = hasReadOnly(ReadOnlyCompatibleFeature.bigalloc);
  line(bigalloc ? 'Cluster size' : 'Fragment size', 1024 * 2 ** S('s_log_cluster_size'));
  if (is64bit) line('Group descriptor size', S('s_desc_size'));
  positive('Reserved GDT blocks', S('s_reserved_gdt_blocks'));
  line('Blocks per group', S('s_blocks_per_group'));
  line(bigalloc ? 'Clusters per group' : 'Fragments per group', S('s_clusters_per_group'));
  line('Inodes per group', S('s_inodes_per_group'));
  const inodeSize = revision === 0 ? 128 : S('s_inode_size');
  line('Inode blocks per group', Math.ceil((S('s_inodes_per_group') * inodeSize) / blockSize));
  positive('RAID stride', S('s_raid_stride'));
  positive('RAID stripe width', S('s_raid_stripe_width'));
  positive('First meta block group', S('s_first_meta_bg'));
  if (S('s_log_groups_per_flex') !== 0) line('Flex block group size', 2 ** S('s_log_groups_per_flex'));
  if (S('s_mkfs_time') !== 0) time('Filesystem created', S('s_mkfs_time'));
  if (S('s_mtime') === 0) line('Last mount time', 'n/a');
  else time('Last mount time', S('s_mtime'));
  time('Last write time', S('s_wtime'));
  line('Mount count', S('s_mnt_count'));
  line('Maximum mount count', (S('s_max_mnt_count') << 16) >> 16);
  time('Last checked', S('s_lastcheck'));
  const interval = S('s_checkinterval');
  line('Check interval', `${interval} (${intervalText(interval)})`);
  if (interval !== 0) time('Next check after', S('s_lastcheck') + interval);
  const kilobytes = Number(Superblock.s_kbytes_written.get(view, 0));
  if (kilobytes !== 0) line('Lifetime writes', writtenText(kilobytes));
  const user = accounts.user(S('s_def_resuid'));
  line(
    'Reserved blocks uid',
    `${S('s_def_resuid')} ${user === undefined ? '(user unknown)' : `(user ${user})`}`,
  );
  const group = accounts.group(S('s_def_resgid'));
  line(
    'Reserved blocks gid',
    `${S('s_def_resgid')} ${group === undefined ? '(group unknown)' : `(group ${group})`}`,
  );
  if (revision >= 1) {
    line('First inode', S('s_first_ino'));
    // The tool itself has a tab there.
    text += `Inode size:\t          ${S('s_inode_size')}\n`;
    positive('Required extra isize', S('s_min_extra_isize'));
    positive('Desired extra isize', S('s_want_extra_isize'));
  }
  uuid('Journal UUID', Superblock.s_journal_uuid.get(view, 0));
  positive('Journal inode', S('s_journal_inum'));
  if (S('s_journal_dev') !== 0) {
    text += `Journal device:\t          0x${S('s_journal_dev').toString(16).padStart(4, '0')}\n`;
  }
  positive('First orphan inode', S('s_last_orphan'));
  const hash = S('s_def_hash_version');
  if (hasCompatible(CompatibleFeature.dir_index) || hash !== 0) {
    line('Default directory hash', HASHES[hash] ?? `HASHALG_${hash}`);
  }
  uuid('Directory Hash Seed', Superblock.s_hash_seed.get(view, 0));
  const backup = S('s_jnl_backup_type');
  if (backup !== 0) line('Journal backup', backup === 1 ? 'inode blocks' : `type ${backup}`);
  const groups = backupGroups(view).filter((index) => index !== 0);
  if (groups.length > 0) line('Backup block groups', `${groups.join(' ')} `);
  positive('FS Error count', S('s_error_count'));
  for (const which of ['first', 'last'] as const) {
    const seconds = S(`s_${which}_error_time`);
    if (seconds === 0) continue;
    const label = which === 'first' ? 'First' : 'Last';
    time(`${label} error time`, seconds);
    line(`${label} error function`, Superblock[`s_${which}_error_func`].get(view, 0));
    line(`${label} error line #`, S(`s_${which}_error_line`));
    positive(`${label} error inode #`, S(`s_${which}_error_ino`));
    positive(`${label} error block #`, Number(Superblock[`s_${which}_error_block`].get(view, 0)));
    const code = S(`s_${which}_error_errcode`);
    if (code !== 0) line(`${label} error err`, ERRNO_NAMES[code] ?? `UNKNOWN_ERRCODE_${code}`);
  }
  if (hasIncompatible(IncompatibleFeature.mmp)) {
    line('MMP block number', Number(Superblock.s_mmp_block.get(view, 0)));
    line('MMP update interval', S('s_mmp_interval'));
  }
  positive('User quota inode', S('s_usr_quota_inum'));
  positive('Group quota inode', S('s_grp_quota_inum'));
  positive('Project quota inode', S('s_prj_quota_inum'));
  if (hasReadOnly(ReadOnlyCompatibleFeature.metadata_csum)) {
    line('Checksum type', S('s_checksum_type') === 1 ? 'crc32c' : 'unknown');
    line('Checksum', hex32(S('s_checksum')));
  }
  uuid('Encryption PW Salt', Superblock.s_encrypt_pw_salt.get(view, 0));
  if (hasIncompatible(IncompatibleFeature.casefold)) {
    const encoding = S('s_encoding');
    line('Character encoding', encoding === 1 ? 'utf8-12.1' : `UNKNOWN_ENCODING_${encoding}`);
  }
  if (hasIncompatible(IncompatibleFeature.metadata_csum_seed))
    line('Checksum seed', hex32(S('s_checksum_seed')));
  if (hasCompatible(CompatibleFeature.orphan_file)) line('Orphan file inode', S('s_orphan_file_inum'));
  return text;
}

/** Fields of the superblock that are plain numbers. */
type NumberField = {
  [K in keyof typeof Superblock.$fields]: (typeof Superblock.$fields)[K] extends {
    get(...rest: never[]): number;
  }
    ? K
    : never;
}[keyof typeof Superblock.$fields];

export function backupGroups(view: DataView): [number, number] {
  const { offset } = Superblock.s_backup_bgs;
  return [view.getUint32(offset, true), view.getUint32(offset + 4, true)];
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** 13 binary digits at most, in the largest unit for it, rounded. */
function writtenText(kilobytes: number): string {
  let power = 0;
  while (power < 4 && kilobytes >= 2 ** (13 + 10 * power)) power++;
  const unit = 1024 ** power;
  const rounded = power === 0 ? kilobytes : Math.floor((kilobytes + unit / 2) / unit);
  return `${rounded} ${['kB', 'MB', 'GB', 'TB', 'PB'][power]}`;
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
}
