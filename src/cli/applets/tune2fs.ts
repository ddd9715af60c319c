import { UnsupportedError } from '../../errors.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { Failure } from './e2fsprogs/failure.ts';
import { applyChanges } from './tune2fs/changes.ts';
import { OPTIONS, parseCommandLine } from './tune2fs/command-line.ts';
import { withSuperblock } from './tune2fs/open.ts';

export const tune2fs = defineApplet({
  name: 'tune2fs',
  kind: 'applet',
  summary: 'change the parameters of an ext2, ext3 or ext4 file system',
  usage: ['tune2fs [OPTION]... DEVICE'],
  description: [
    'Changes what stands in the superblock of the file system on DEVICE, a file or a block device, and in its copies, as tune2fs of e2fsprogs 1.47.0 ' +
      'does, with the same output. A journal that has to be replayed is, before anything is changed. Times are in the time zone of the machine. SOURCE_DATE_EPOCH takes the place of the clock.',
    'Features are switched where that changes the superblock alone: dir_index, ea_inode, encrypt, extent, extra_isize, fast_commit, filetype, ' +
      'dir_nlink, huge_file, large_dir, large_file, metadata_csum_seed, read-only, resize_inode (to clear), sparse_super (to set), stable_inodes, verity.',
    'A journal is made with -j, -J or -O has_journal, and removed with -O ^has_journal; "-O ^has_journal -J size=N" does both, for a journal of another size. ' +
      'Cut short at any moment, that leaves at most blocks that nobody uses, and a file system that e2fsck wants to see.',
    'orphan_file and mmp are set and cleared; a file of orphans is of no use without a journal, and has to go with it.',
    'Another UUID, -O ^metadata_csum, and -O ^metadata_csum_seed after the UUID has changed, rewrite every checksum: on a file system that e2fsck has checked since it was last mounted. ' +
      'All checksums are verified before the first is written. The file of orphans follows, which the real tool leaves behind.',
  ],
  options: OPTIONS,
  examples: [
    { command: 'tune2fs -L data -m 1 disk.img', explanation: 'A label, and one percent reserved.' },
    { command: 'tune2fs -j disk.img', explanation: 'Makes an ext3 of an ext2.' },
    { command: 'tune2fs -l disk.img', explanation: 'Lists the superblock.' },
    {
      command: 'tune2fs -O metadata_csum_seed -U random disk.img',
      explanation: 'Another UUID for a copy of an image, without rewriting its checksums.',
    },
  ],
  exitStatus: { 0: 'done', 1: 'nothing was changed' },
  notSupported: [
    'changing a mounted file system',
    'features that need more than the superblock: 64bit, flex_bg, casefold, uninit_bg, metadata_csum (to set), quota, ' +
      'project; dir_index to clear with metadata_csum',
    '-U with ea_inode but without metadata_csum_seed; all that rewrites checksums on bigalloc, and together with making or removing a journal',
    '-J device=: a journal on another device. -j on bigalloc. -I: another inode size. -Q: quotas. -z: the undo file',
    '-E encoding, encoding_flags',
  ],
  run,
});

const BANNER = 'tune2fs 1.47.0 (5-Feb-2023)\n';

function run(io: Io, argv: readonly string[]): number {
  io.stdout.write(BANNER);
  try {
    const now = clockFromEnvironment(io.env)().seconds;
    const command = parseCommandLine(io, argv, now);
    const write = Object.keys(command).some((key) => !['device', 'list', 'force'].includes(key));
    const clearsHolder = command.extended?.split(',').some((item) => /^clear[-_]mmp$/.test(item)) ?? false;
    const opening = { name: command.device, program: 'tune2fs', write, isHolderGone: clearsHolder };
    withSuperblock(io, opening, (editor) => {
      if (applyChanges(io, editor, command, now)) editor.save(now);
      if (clearsHolder) editor.multipleMount?.clear(now);
    });
    return 0;
  } catch (error) {
    if (error instanceof Failure) io[error.stream].write(error.message);
    else if (error instanceof UnsupportedError) io.stderr.write(`tune2fs: ${error.message}\n`);
    else throw error;
    return 1;
  }
}
