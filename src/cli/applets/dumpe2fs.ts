import { viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { ExtCore } from '../../filesystem/ext/ext-core.ts';
import type { MappedRun } from '../../filesystem/ext/file-map.ts';
import { MultipleMountBlock } from '../../filesystem/ext/multiple-mount.ts';
import { ReservedInode } from '../../filesystem/ext/inode.ts';
import type { SuperblockEditor } from '../../filesystem/ext/superblock-editor.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock } from '../../filesystem/ext/superblock.ts';
import { Volume } from '../../filesystem/ext/volume.ts';
import { JournalSuperblock } from '../../filesystem/ext/journal/journal-superblock.ts';
import { defineApplet } from '../applet.ts';
import type { OptionSpec } from '../getopt.ts';
import type { Io } from '../io.ts';
import { GroupListing } from './dumpe2fs/groups.ts';
import { journalListing } from './dumpe2fs/journal-listing.ts';
import { parseOptions } from './e2fsprogs/command-line.ts';
import { Failure } from './e2fsprogs/failure.ts';
import { HOST_ACCOUNTS } from './tune2fs/accounts.ts';
import { calendarTime } from './tune2fs/calendar.ts';
import { superblockListing } from './tune2fs/listing.ts';
import { OpenFailure, withSuperblock } from './tune2fs/open.ts';

const OPTIONS: readonly OptionSpec[] = [
  { short: 'h', description: 'only the superblock, without the groups' },
  { short: 'x', description: 'numbers of blocks and inodes of groups in hexadecimal' },
  { short: 'V', description: 'print the version' },
  { short: 'b', description: 'refused: the list of bad blocks' },
  { short: 'f', description: 'refused: unknown features' },
  { short: 'g', description: 'refused: the listing for programs' },
  { short: 'i', description: 'refused: images of e2image' },
  { short: 'm', description: 'refused: the check of multiple-mount protection' },
  {
    short: 'o',
    argument: 'required',
    argumentName: 'OPTION=NUMBER',
    description: 'refused: another superblock than the first',
  },
];

export const dumpe2fs = defineApplet({
  name: 'dumpe2fs',
  kind: 'applet',
  summary: 'print the superblock and the groups of an ext2, ext3 or ext4 file system',
  usage: ['dumpe2fs [OPTION]... DEVICE'],
  description: [
    'Prints what stands in the superblock and in the group descriptors of the file system on DEVICE, a file or a block device, with the text of ' +
      'dumpe2fs of e2fsprogs 1.47.0. Nothing is written.',
  ],
  options: OPTIONS,
  examples: [{ command: 'dumpe2fs -h disk.img', explanation: 'The superblock and the journal.' }],
  exitStatus: { 0: 'done', 1: 'the file system could not be read' },
  notSupported: [
    '-b, -f, -g, -i, -m and -o superblock=, blocksize=',
    'the line of bad blocks in the full listing; external journals',
  ],
  run,
});

const BANNER = 'dumpe2fs 1.47.0 (5-Feb-2023)\n';
const USAGE = 'Usage: dumpe2fs [-bfghimxV] [-o superblock=<num>] [-o blocksize=<num>] device\n';
const NOT_FOUND = "Couldn't find valid filesystem superblock.\n";

function run(io: Io, argv: readonly string[]): number {
  io.stderr.write(BANNER);
  try {
    const parsed = parseOptions(argv, OPTIONS, { name: 'dumpe2fs', usage: USAGE });
    if (parsed.has('V')) {
      io.stderr.write('\tUsing EXT2FS Library version 1.47.0\n');
      return 0;
    }
    const refused = parsed.options.find(({ spec }) => !['h', 'x'].includes(spec.short!));
    if (refused !== undefined) throw new Failure(`dumpe2fs: -${refused.spec.short} is not supported here\n`);
    const [name, ...more] = parsed.operands;
    if (name === undefined || more.length > 0) throw new Failure(USAGE);
    withSuperblock(io, { name, program: 'dumpe2fs', write: false }, (editor, device) => {
      list(io, editor, device, { headOnly: parsed.has('h'), hexadecimal: parsed.has('x') });
    });
    return 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (!(error instanceof OpenFailure)) {
      io.stderr.write(error.message);
      return 1;
    }
    // Its second line is one for standard output here.
    io.stderr.write(error.message.replace(NOT_FOUND, ''));
    io.stdout.write(NOT_FOUND);
    return error.exitStatus;
  }
}

function list(
  io: Io,
  editor: SuperblockEditor,
  device: BlockDevice,
  options: { readonly headOnly: boolean; readonly hexadecimal: boolean },
): void {
  const { view, features, geometry } = editor;
  io.stdout.write(superblockListing(view, HOST_ACCOUNTS));
  const hasJournal = (features.compatible & CompatibleFeature.has_journal) !== 0;
  if (hasJournal && Superblock.s_journal_inum.get(view, 0) !== 0) {
    const hasFastCommit = (features.compatible & CompatibleFeature.fast_commit) !== 0;
    io.stdout.write(journalListing(readJournalHead(device), geometry.blockSize, hasFastCommit));
  }
  if ((features.incompatible & IncompatibleFeature.mmp) !== 0) {
    io.stdout.write(multipleMountListing(editor, device));
  }
  io.stdout.write('\n');
  if (options.headOnly) return;
  const groups = new GroupListing(editor, device, options);
  for (let group = 0; group < geometry.groupCount; group++) {
    io.stdout.write(`${group === 0 ? '\n' : ''}${groups.text(group)}`);
  }
}

function readJournalHead(device: BlockDevice): DataView {
  const core = new ExtCore(Volume.open(device, () => ({ seconds: 0, nanoseconds: 0 })));
  const run: MappedRun = { start: 0, length: 0 };
  core.fileMap.map(core.inodes.load(ReservedInode.journal), 0, 1, run);
  const bytes = new Uint8Array(JournalSuperblock.$size);
  device.read(run.start * core.volume.geometry.blockSize, bytes);
  return viewOf(bytes);
}

function multipleMountListing({ view, geometry }: SuperblockEditor, device: BlockDevice): string {
  const bytes = new Uint8Array(MultipleMountBlock.$size);
  const block = Number(Superblock.s_mmp_block.get(view, 0));
  if (block === 0 || block >= geometry.blockCount) return '';
  device.read(block * geometry.blockSize, bytes);
  const mmp = viewOf(bytes);
  const M = MultipleMountBlock;
  return (
    'MMP_block:\n' +
    `    mmp_magic: 0x${M.mmp_magic.get(mmp, 0).toString(16)}\n` +
    `    mmp_check_interval: ${M.mmp_check_interval.get(mmp, 0)}\n` +
    `    mmp_sequence: 0x${M.mmp_seq.get(mmp, 0).toString(16).padStart(8, '0')}\n` +
    `    mmp_update_date: ${calendarTime(M.mmp_time.get(mmp, 0))}` +
    `    mmp_update_time: ${M.mmp_time.get(mmp, 0)}\n` +
    `    mmp_node_name: ${M.mmp_nodename.get(mmp, 0)}\n` +
    `    mmp_device_name: ${M.mmp_bdevname.get(mmp, 0)}\n`
  );
}
