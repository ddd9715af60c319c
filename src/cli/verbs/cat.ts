import { FsError } from '../../errors.ts';
import type { FileSystem, NodeId } from '../../filesystem/file-system.ts';
import { resolvePath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import type { Io } from '../io.ts';
import { checkOperands, checkPaths, forEachOperand } from './operand.ts';

/** `userloop cat`: the content of files of an image. */
export const cat = defineApplet({
  name: 'cat',
  kind: 'verb',
  summary: 'print files of an image',
  usage: ['userloop cat IMAGE[:N|@OFFSET]:/PATH...'],
  description: ['Writes the content of the files to standard output, one after the other, byte for byte.'],
  options: [],
  examples: [
    { command: 'userloop cat disk.img:1:/boot/grub/menu.lst', explanation: 'print a file of partition 1' },
    { command: 'userloop cat disk.img:/vmlinuz > vmlinuz', explanation: 'take a file out' },
  ],
  exitStatus: { 0: 'all were printed', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const { operands } = getopt(argv, cat.options);
    checkOperands(operands, 1);
    checkPaths(io, operands);
    return forEachOperand(io, 'cat', operands, { action: 'cannot read' }, ({ fileSystem, path }) => {
      writeContent(io, fileSystem, resolvePath(fileSystem, path));
    });
  },
});

/** Writes a file's bytes to standard output. EISDIR for a directory. */
export function writeContent(io: Io, fileSystem: FileSystem, node: NodeId): void {
  const { kind, size } = fileSystem.attributes(node);
  if (kind === 'directory') throw new FsError('EISDIR');
  if (kind !== 'file') throw new FsError('EINVAL', { detail: `a ${kind} has no content` });
  const buffer = new Uint8Array(Math.min(1 << 20, size));
  for (let offset = 0; offset < size;) {
    const count = fileSystem.read(node, offset, buffer);
    if (count === 0) return;
    io.stdout.write(buffer.subarray(0, count));
    offset += count;
  }
}
