import { UnsupportedError } from '../../errors.ts';
import { Superblock } from '../../filesystem/ext/superblock.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { Failure } from './e2fsprogs/failure.ts';
import { setLabel } from './tune2fs/changes.ts';
import { withSuperblock } from './tune2fs/open.ts';

export const e2label = defineApplet({
  name: 'e2label',
  kind: 'applet',
  summary: 'show or change the label of an ext2, ext3 or ext4 file system',
  usage: ['e2label DEVICE [LABEL]'],
  description: [
    'Prints the label of the file system on DEVICE, a file or a block device, or gives it the label LABEL of at most 16 bytes; a longer one is cut.',
  ],
  options: [],
  examples: [
    { command: 'e2label disk.img', explanation: 'Prints the label.' },
    { command: 'e2label disk.img data', explanation: 'Changes it.' },
  ],
  exitStatus: { 0: 'done', 1: 'nothing was changed' },
  notSupported: ['changing the label of a mounted file system'],
  run,
});

const USAGE = 'Usage: e2label device [newlabel]\n';

function run(io: Io, argv: readonly string[]): number {
  try {
    const [name, label, ...more] = argv[0] === '--' ? argv.slice(1) : argv;
    if (name === undefined || more.length > 0) throw new Failure(USAGE);
    withSuperblock(io, { name, program: 'e2label', write: label !== undefined }, (editor) => {
      if (label === undefined) {
        const bytes = Superblock.s_volume_name.get(editor.view, 0);
        const end = bytes.indexOf(0);
        io.stdout.write(`${Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString()}\n`);
        return;
      }
      setLabel(io, editor, Buffer.from(label));
      editor.save(clockFromEnvironment(io.env)().seconds);
    });
    return 0;
  } catch (error) {
    if (error instanceof Failure) io[error.stream].write(error.message);
    else if (error instanceof UnsupportedError) io.stderr.write(`e2label: ${error.message}\n`);
    else throw error;
    return 1;
  }
}
