import type { SuperblockEditor } from '../../../filesystem/ext/superblock-editor.ts';
import {
  CompatibleFeature,
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
} from '../../../filesystem/ext/superblock.ts';
import { FsError, UnsupportedError } from '../../../errors.ts';
import { defaultJournalBlocks } from '../../../filesystem/ext/format/journal.ts';
import { addJournal } from '../../../filesystem/ext/tune/journal.ts';
import { addMultipleMountBlock } from '../../../filesystem/ext/tune/multiple-mount.ts';
import { addOrphanFile } from '../../../filesystem/ext/tune/orphan-file.ts';
import { systemRandom } from '../../../host/system.ts';
import type { Io } from '../../io.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import type { JournalChoice } from '../mke2fs/journal-options.ts';
import { parseCount } from '../e2fsprogs/numbers.ts';
import { chooseUuid } from '../mke2fs/identity.ts';
import { HOST_ACCOUNTS } from './accounts.ts';
import { calendarTime } from './calendar.ts';
import type { CommandLine } from './command-line.ts';
import { type ExtendedOptions, parseExtendedOptions } from './extended-options.ts';
import { changeFeatures, PLEASE_CHECK, requireChecked } from './feature-changes.ts';
import { superblockListing } from './listing.ts';
import { editMountOptions } from './mount-options.ts';

/** `s_state`. */
const VALID = 1;
const WITH_ERRORS = 2;
/** `s_flags`: for a driver under development. */
const TEST_FILE_SYSTEM = 4;

/**
 * Makes the changes in the superblock in memory, in the tool's order and with its words. Returns whether there were
 * any. The listing comes before the last of them and shows the former time of writing, as the tool's. Failure and UnsupportedError mean that nothing is to be written.
 */
export function applyChanges(io: Io, editor: SuperblockEditor, command: CommandLine, now: number): boolean {
  const { view, geometry } = editor;
  const say = (message: string): void => io.stdout.write(message);
  let changed = false;
  let makesOrphanFile = false;
  let makesJournal = command.makesJournal === true;
  if (command.maxMountCount !== undefined) {
    Superblock.s_max_mnt_count.set(view, 0, command.maxMountCount & 0xffff);
    say(`Setting maximal mount count to ${command.maxMountCount}\n`);
    changed = true;
  }
  if (command.mountCount !== undefined) {
    Superblock.s_mnt_count.set(view, 0, command.mountCount);
    say(`Setting current mount count to ${command.mountCount}\n`);
    changed = true;
  }
  if (command.errorBehavior !== undefined) {
    Superblock.s_errors.set(view, 0, command.errorBehavior);
    say(`Setting error behavior to ${command.errorBehavior}\n`);
    changed = true;
  }
  if (command.reservedGroup !== undefined) {
    Superblock.s_def_resgid.set(view, 0, command.reservedGroup & 0xffff);
    say(`Setting reserved blocks gid to ${command.reservedGroup}\n`);
    changed = true;
  }
  if (command.interval !== undefined) {
    if (command.interval >= 2 ** 32) {
      throw new Failure(`tune2fs: interval between checks is too big (${command.interval})\n`);
    }
    Superblock.s_checkinterval.set(view, 0, command.interval);
    say(`Setting interval between checks to ${command.interval} seconds\n`);
    changed = true;
  }
  if (command.reservedPercent !== undefined) {
    const blocks = Math.trunc((command.reservedPercent * geometry.blockCount) / 100);
    setReservedBlocks(editor, blocks);
    const percent = Number(command.reservedPercent.toPrecision(6));
    say(`Setting reserved blocks percentage to ${percent}% (${blocks} blocks)\n`);
    changed = true;
  }
  if (command.reservedBlocks !== undefined) {
    if (command.reservedBlocks > Math.floor(geometry.blockCount / 2)) {
      throw new Failure(`tune2fs: reserved blocks count is too big (${command.reservedBlocks})\n`);
    }
    setReservedBlocks(editor, command.reservedBlocks);
    say(`Setting reserved blocks count to ${command.reservedBlocks}\n`);
    changed = true;
  }
  if (command.sparse !== undefined) changed = setSparse(io, editor, command.sparse) || changed;
  if (command.lastCheck !== undefined) {
    Superblock.s_lastcheck.set(view, 0, command.lastCheck % 2 ** 32);
    Superblock.s_lastcheck_hi.set(view, 0, Math.floor(command.lastCheck / 2 ** 32));
    say(`Setting time filesystem last checked to ${calendarTime(command.lastCheck)}\n`);
    changed = true;
  }
  if (command.reservedUser !== undefined) {
    Superblock.s_def_resuid.set(view, 0, command.reservedUser & 0xffff);
    say(`Setting reserved blocks uid to ${command.reservedUser}\n`);
    changed = true;
  }
  if (command.label !== undefined) {
    setLabel(io, editor, command.label);
    changed = true;
  }
  if (command.lastMounted !== undefined) {
    const { length } = Superblock.s_last_mounted;
    Superblock.s_last_mounted.set(view, 0, command.lastMounted.subarray(0, length));
    changed = true;
  }
  if (command.mountOptions !== undefined) {
    const word = editMountOptions(Superblock.s_default_mount_opts.get(view, 0), command.mountOptions);
    if (word === undefined) throw new Failure(`Invalid mount option set: ${command.mountOptions}\n`);
    Superblock.s_default_mount_opts.set(view, 0, word);
    changed = true;
  }
  if (command.features !== undefined) {
    const change = changeFeatures(editor, command.features, systemRandom, { seconds: now, nanoseconds: 0 });
    if (change.warning !== '') io.stderr.write(change.warning);
    if (change.needsCheck) {
      Superblock.s_state.set(view, 0, Superblock.s_state.get(view, 0) & ~VALID);
      say(`\n${PLEASE_CHECK}\n`);
    }
    changed ||= change.changed;
    if (change.rewritesChecksums) rewriteChecksums(editor, now);
    makesJournal ||= change.makesJournal;
    makesOrphanFile = change.makesOrphanFile;
    if (change.makesMultipleMountBlock) {
      const interval = addMultipleMountBlock(editor.content({ seconds: now, nanoseconds: 0 }), view);
      say(`Multiple mount protection has been enabled with update interval ${interval}s.\n`);
      changed = true;
    }
  }
  const complain = (message: string): void => io.stderr.write(message);
  const extended =
    command.extended === undefined ? {} : parseExtendedOptions(command.extended, say, complain);
  changed = applyExtended(editor, extended, command.force) || changed;
  if (makesJournal) {
    makeJournal(io, editor, command.journal ?? {}, now);
    changed = true;
  }
  if (makesOrphanFile) {
    const { orphanFileSize } = extended;
    const blocks = orphanFileSize === undefined ? undefined : parseCount(orphanFileSize, geometry.blockSize);
    addOrphanFile(editor.content({ seconds: now, nanoseconds: 0 }), view, blocks);
    changed = true;
  }
  if (command.uuid !== undefined) {
    setUuid(editor, command.uuid, now);
    changed = true;
  }
  if (command.list) say(superblockListing(view, HOST_ACCOUNTS));
  return applyLate(editor, extended, say) || changed;
}

/** Warns of a label that is too long, and cuts it. */
export function setLabel(io: Io, editor: SuperblockEditor, label: Uint8Array): void {
  const { length } = Superblock.s_volume_name;
  if (label.length > length) io.stderr.write('Warning: label too long, truncating.\n');
  Superblock.s_volume_name.set(editor.view, 0, label.subarray(0, length));
}

function setReservedBlocks({ view, geometry }: SuperblockEditor, count: number): void {
  Superblock.s_r_blocks_count_lo.set(view, 0, count % 2 ** 32);
  if (geometry.has64bit) Superblock.s_r_blocks_count_hi.set(view, 0, Math.floor(count / 2 ** 32));
}

function setSparse(io: Io, editor: SuperblockEditor, sparse: boolean): boolean {
  if (!sparse) throw new Failure('\nClearing the sparse superblock flag not supported.\n');
  const { view, features } = editor;
  if ((features.readOnlyCompatible & ReadOnlyCompatibleFeature.sparse_super) !== 0) {
    io.stderr.write('\nThe filesystem already has sparse superblocks.\n');
    return false;
  }
  if ((features.incompatible & IncompatibleFeature.meta_bg) !== 0) {
    throw new Failure(
      '\nSetting the sparse superblock flag not supported\nfor filesystems with the meta_bg feature enabled.\n',
    );
  }
  const change = changeFeatures(editor, 'sparse_super', systemRandom, { seconds: 0, nanoseconds: 0 });
  Superblock.s_state.set(view, 0, Superblock.s_state.get(view, 0) & ~VALID);
  io.stdout.write(`\nSparse superblock flag set.  ${PLEASE_CHECK}`);
  return change.changed;
}

function makeJournal(io: Io, editor: SuperblockEditor, choice: JournalChoice, now: number): void {
  const { view, features, geometry } = editor;
  if ((features.compatible & CompatibleFeature.has_journal) !== 0) {
    throw new Failure('The filesystem already has a journal.\n');
  }
  io.stdout.write('Creating journal inode: ');
  if (choice.size === undefined && defaultJournalBlocks(geometry.blockCount) === 0) {
    io.stderr.write('\nFilesystem too small for a journal\n');
  }
  const { location } = choice;
  try {
    addJournal(editor.content({ seconds: now, nanoseconds: 0 }), view, {
      size: choice.size,
      fastCommitSize: choice.fastCommitSize,
      location: location === undefined ? undefined : parseCount(location, geometry.blockSize),
    });
  } catch (error) {
    if (!(error instanceof FsError) || error.detail === undefined) throw error;
    throw new Failure(
      error.detail.startsWith('\n')
        ? error.detail
        : `\ntune2fs: ${error.detail} \n\twhile trying to create journal file\n`,
    );
  }
  io.stdout.write('done\n');
  tellChecks(io, view);
}

/** When the volume is checked of itself. */
function tellChecks(io: Io, view: DataView): void {
  const most = (Superblock.s_max_mnt_count.get(view, 0) << 16) >> 16;
  const days = Superblock.s_checkinterval.get(view, 0) / 86_400;
  if (most <= 0 && days === 0) return;
  io.stdout.write(
    `This filesystem will be automatically checked every ${most} mounts or\n${Number(days.toPrecision(6))} days, ` +
      'whichever comes first.  Use tune2fs -c or -i to override.\n',
  );
}

function applyExtended(editor: SuperblockEditor, options: ExtendedOptions, force: boolean): boolean {
  const { view } = editor;
  let changed = false;
  if (options.hashVersion !== undefined) {
    Superblock.s_def_hash_version.set(view, 0, options.hashVersion);
    changed = true;
  }
  if (options.forceCheck === true) {
    Superblock.s_state.set(view, 0, Superblock.s_state.get(view, 0) | WITH_ERRORS);
    changed = true;
  }
  if (options.testFileSystem !== undefined) {
    const flags = Superblock.s_flags.get(view, 0);
    Superblock.s_flags.set(
      view,
      0,
      options.testFileSystem ? flags | TEST_FILE_SYSTEM : flags & ~TEST_FILE_SYSTEM,
    );
    changed = true;
  }
  if (options.multipleMountInterval !== undefined) {
    Superblock.s_mmp_interval.set(view, 0, options.multipleMountInterval);
    changed = true;
  }
  if (options.clearMultipleMount === true) {
    if (!force) throw new Failure('Error in using clear_mmp. It must be used with -f\n');
    // Without the feature the tool fails, and says nothing.
    if (editor.multipleMount === undefined) throw new Failure('');
  }
  return changed;
}

/** The extended options that the tool comes to last. */
function applyLate(
  { view }: SuperblockEditor,
  options: ExtendedOptions,
  say: (message: string) => void,
): boolean {
  let changed = false;
  if (options.stride !== undefined) {
    Superblock.s_raid_stride.set(view, 0, options.stride & 0xffff);
    say(`Setting stride size to ${options.stride}\n`);
    changed = true;
  }
  if (options.stripeWidth !== undefined) {
    Superblock.s_raid_stripe_width.set(view, 0, options.stripeWidth);
    say(`Setting stripe width to ${options.stripeWidth}\n`);
    changed = true;
  }
  if (options.mountOptions !== undefined) {
    Superblock.s_mount_opts.set(view, 0, '');
    const text = Buffer.from(options.mountOptions).toString('latin1');
    Superblock.s_mount_opts.set(view, 0, text);
    say(`Setting extended default mount options to '${options.mountOptions}'\n`);
    changed = true;
  }
  return changed;
}

/** Every checksum follows the superblock. */
function rewriteChecksums(editor: SuperblockEditor, now: number): void {
  if (editor.changesContent) {
    throw new Failure(
      'tune2fs: to rewrite all checksums and to make or remove a journal are two commands here\n',
    );
  }
  editor.rewriteChecksums({ seconds: now, nanoseconds: 0 });
}

function setUuid(editor: SuperblockEditor, text: string, now: number): void {
  const { view, features } = editor;
  if ((features.compatible & CompatibleFeature.stable_inodes) !== 0) {
    throw new Failure(
      'Cannot change the UUID of this filesystem because it has the stable_inodes feature flag.\n',
    );
  }
  const { readOnlyCompatible, incompatible } = features;
  const hasSeed = (incompatible & IncompatibleFeature.metadata_csum_seed) !== 0;
  if (!hasSeed && (incompatible & IncompatibleFeature.ea_inode) !== 0) {
    throw new UnsupportedError(
      'Another UUID changes the hashes of attribute values in inodes of their own (ea_inode): not supported here',
      ['ea_inode'],
    );
  }
  const { uninit_bg, metadata_csum } = ReadOnlyCompatibleFeature;
  const isSeed = !hasSeed && (readOnlyCompatible & metadata_csum) !== 0;
  if (isSeed) requireChecked(view);
  const uuid = chooseUuid(text, { seconds: now, nanoseconds: 0 });
  if (uuid === undefined) throw new Failure('tune2fs: Invalid UUID format\n\n');
  Superblock.s_uuid.set(view, 0, uuid);
  if (isSeed || (readOnlyCompatible & uninit_bg) !== 0) rewriteChecksums(editor, now);
}
