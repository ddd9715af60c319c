import { formatUuid } from '../../../bytes/uuid.ts';
import { viewOf } from '../../../bytes/struct.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { CorruptImageError } from '../../../errors.ts';
import { hex } from '../geometry.ts';
import { IncompatibleFeature, Superblock, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET } from '../superblock.ts';
import type { Volume } from '../volume.ts';
import { JournalArea } from './journal-area.ts';

/**
 * A journal on a device of its own (feature `journal_dev`): an ext superblock, the journal's own in the block behind it, then the log. Its blocks are counted from the
 * start of the device. CorruptImageError when the device is no journal, or that of another volume.
 */
export function openExternalJournal(volume: Volume, device: BlockDevice): JournalArea {
  const bytes = new Uint8Array(Superblock.$size);
  if (device.size >= SUPERBLOCK_OFFSET + bytes.length) device.read(SUPERBLOCK_OFFSET, bytes);
  const superblock = viewOf(bytes);
  const { blockSize } = volume.geometry;
  const magic = Superblock.s_magic.get(superblock, 0);
  if (magic !== SUPERBLOCK_MAGIC) refuse('s_magic', hex(magic, 4), hex(SUPERBLOCK_MAGIC, 4));
  const features = Superblock.s_feature_incompat.get(superblock, 0);
  if ((features & IncompatibleFeature.journal_dev) === 0)
    refuse('s_feature_incompat', hex(features, 4), 'journal_dev');
  const wanted = journalUuid(volume.superblock);
  const found = formatUuid(Superblock.s_uuid.get(superblock, 0));
  if (found !== wanted) refuse('s_uuid', found, `${wanted}, as the file system has it`);
  const logBlockSize = Superblock.s_log_block_size.get(superblock, 0);
  if (1024 * 2 ** logBlockSize !== blockSize)
    refuse(
      's_log_block_size',
      `${logBlockSize}`,
      `that of blocks of ${blockSize} bytes, as the file system has`,
    );
  const own = Math.floor(SUPERBLOCK_OFFSET / blockSize) + 1;
  const length = Math.min(
    Superblock.s_blocks_count_lo.get(superblock, 0),
    Math.floor(device.size / blockSize),
  );
  if (length <= own) refuse('s_blocks_count_lo', `${length}`, `more than ${own}`);
  return JournalArea.open(device, {
    blockSize,
    length,
    // What is block 0 of a journal in a file is the one behind the superblock here.
    map: (block, limit, run) => {
      run.start = block === 0 ? own : block;
      run.length = block === 0 ? 1 : limit;
    },
  });
}

/** The UUID of the journal of a volume that has it elsewhere. */
export function journalUuid(superblock: DataView): string {
  return formatUuid(Superblock.s_journal_uuid.get(superblock, 0));
}

function refuse(field: string, found: string, expected: string): never {
  throw new CorruptImageError({ structure: 'journal device', field, found, expected });
}
