import { FsError } from '../../errors.ts';
import type { CreateOptions, FileSystem } from '../../filesystem/file-system.ts';
import { findPath, resolveParent, splitPath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { checkOperands, checkPaths, forEachOperand } from './operand.ts';
import { parseMode } from './permissions.ts';

/** `userloop mkdir`: new directories in an image. */
export const mkdir = defineApplet({
  name: 'mkdir',
  kind: 'verb',
  summary: 'make directories in an image',
  usage: ['userloop mkdir [OPTION]... IMAGE[:N|@OFFSET]:/PATH...'],
  description: ['Makes directories; they belong to user and group 0.'],
  options: [
    {
      short: 'p',
      long: 'parents',
      description: 'make the directories on the way, too; one that is there is no error',
    },
    {
      short: 'm',
      long: 'mode',
      argument: 'required',
      argumentName: 'MODE',
      description: 'the mode, as for chmod, instead of 755',
    },
    { short: 'v', long: 'verbose', description: 'name each directory that is made' },
  ],
  examples: [
    { command: 'userloop mkdir -p disk.img:/boot/grub', explanation: 'make /boot and /boot/grub' },
    { command: 'userloop mkdir -m 1777 disk.img:1:/tmp', explanation: 'a directory for everybody' },
  ],
  exitStatus: { 0: 'all were made', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, mkdir.options);
    checkOperands(args.operands, 1);
    checkPaths(io, args.operands);
    const mode = args.has('m') ? parseMode(args.value('m')!)(0o777, false) : 0o755;
    return forEachOperand(
      io,
      'mkdir',
      args.operands,
      { write: true, action: 'cannot create directory' },
      ({ fileSystem, path, show }) => {
        const made = args.has('p')
          ? makeDirectories(fileSystem, path, { kind: 'directory', mode })
          : [makeDirectory(fileSystem, path, { kind: 'directory', mode })];
        if (!args.has('v')) return;
        for (const each of made) io.stdout.write(`created directory '${show(each)}'\n`);
      },
    );
  },
});

function makeDirectory(fileSystem: FileSystem, path: string, options: CreateOptions): string {
  if (splitPath(path).length === 0) throw new FsError('EEXIST', { syscall: 'mkdir', path });
  const { directory, name } = resolveParent(fileSystem, path, { syscall: 'mkdir' });
  fileSystem.create(directory, name, options);
  return path;
}

/** Makes the directory and all on the way that are not there; returns the paths of those that it made. */
export function makeDirectories(fileSystem: FileSystem, path: string, options: CreateOptions): string[] {
  const made: string[] = [];
  const names = splitPath(path);
  let at = '';
  for (const [index, name] of names.entries()) {
    at += `/${name}`;
    const node = findPath(fileSystem, at);
    if (node !== undefined) {
      if (fileSystem.attributes(node).kind === 'directory') continue;
      throw new FsError(index === names.length - 1 ? 'EEXIST' : 'ENOTDIR', { syscall: 'mkdir', path: at });
    }
    // Only the last one gets the mode that was asked for, as mkdir(1) has it.
    makeDirectory(fileSystem, at, index === names.length - 1 ? options : { ...options, mode: 0o755 });
    made.push(at);
  }
  return made;
}
