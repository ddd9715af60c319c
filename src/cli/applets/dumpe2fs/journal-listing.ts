import { formatUuid } from '../../../bytes/uuid.ts';
import {
  JournalIncompatible,
  JournalSuperblock,
} from '../../../filesystem/ext/journal/journal-superblock.ts';

const COMPATIBLE = ['journal_checksum'];
const INCOMPATIBLE = [
  'journal_incompat_revoke',
  'journal_64bit',
  'journal_async_commit',
  'journal_checksum_v2',
  'journal_checksum_v3',
];
const DEFAULT_FAST_COMMIT_BLOCKS = 256;

/** The journal's superblock as dumpe2fs of e2fsprogs 1.47.0 prints it. `blockSize`: that of the volume, bytes. */
export function journalListing(view: DataView, blockSize: number, hasFastCommit: boolean): string {
  const S = JournalSuperblock;
  let text = '';
  const line = (label: string, value: string | number): void => {
    text += `${`${label}:`.padEnd(26)}${value}\n`;
  };
  const names = [
    ...namesOf(S.s_feature_compat.get(view, 0), COMPATIBLE, 'C'),
    ...namesOf(S.s_feature_incompat.get(view, 0), INCOMPATIBLE, 'I'),
    ...namesOf(S.s_feature_ro_compat.get(view, 0), [], 'R'),
  ];
  line('Journal features', names.join(' ') || '(none)');
  const unit = S.s_blocksize.get(view, 0);
  const blocks = S.s_maxlen.get(view, 0);
  const kilobytes = Math.floor(blocks / 1024) * unit + Math.floor(((blocks % 1024) * unit) / 1024);
  line('Total journal size', kilobytes < 8192 ? `${kilobytes}k` : `${Math.floor(kilobytes / 1024)}M`);
  if (unit !== blockSize) line('Journal block size', unit);
  line('Total journal blocks', blocks);
  const fastCommit = hasFastCommit ? S.s_num_fc_blks.get(view, 0) || DEFAULT_FAST_COMMIT_BLOCKS : 0;
  line('Max transaction length', blocks - fastCommit);
  line('Fast commit length', fastCommit);
  if (S.s_first.get(view, 0) !== 1) line('Journal first block', S.s_first.get(view, 0));
  line('Journal sequence', hex32(S.s_sequence.get(view, 0)));
  line('Journal start', S.s_start.get(view, 0));
  const users = S.s_nr_users.get(view, 0);
  if (users !== 1) line('Journal number of users', users);
  if ((S.s_feature_compat.get(view, 0) & 1) !== 0) line('Journal checksum type', 'crc32');
  const { csum_v2, csum_v3 } = JournalIncompatible;
  if ((S.s_feature_incompat.get(view, 0) & (csum_v2 | csum_v3)) !== 0) {
    const type = S.s_checksum_type.get(view, 0);
    line('Journal checksum type', ['crc32', 'md5', 'sha1', 'crc32c'][type - 1] ?? 'unknown');
    line('Journal checksum', hex32(S.s_checksum.get(view, 0)));
  }
  const list = S.s_users.get(view, 0);
  if (users > 1 || list.subarray(0, 16).some((byte) => byte !== 0)) {
    for (let user = 0; user < Math.min(users, 48); user++) {
      const uuid = formatUuid(list.subarray(16 * user, 16 * user + 16));
      text += `${user === 0 ? 'Journal users:            ' : ' '.repeat(26)}${uuid}\n`;
    }
  }
  const errno = S.s_errno.get(view, 0) | 0;
  if (errno !== 0) line('Journal errno', errno);
  return text;
}

function namesOf(word: number, names: readonly string[], letter: string): string[] {
  const result: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if (((word >>> bit) & 1) !== 0) result.push(names[bit] ?? `FEATURE_${letter}${bit}`);
  }
  return result;
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
