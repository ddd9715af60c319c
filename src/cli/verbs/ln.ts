import { FsError, UsageError } from '../../errors.ts';
import { findPath, resolveParent, resolvePath, splitPath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { OpenImages } from '../image-reference.ts';
import { Failures } from './failure.ts';
import { checkOperands, checkPaths, openOperand } from './operand.ts';

/** `userloop ln`: hard and symbolic links in an image. */
export const ln = defineApplet({
  name: 'ln',
  kind: 'verb',
  summary: 'make links in an image',
  usage: ['userloop ln [-f] IMAGE:/FILE IMAGE:/NAME', 'userloop ln -s [-f] TARGET IMAGE:/NAME'],
  description: [
    'Makes another name for a file, or with -s a symbolic link that holds TARGET as it is typed. When NAME is a directory, the link is made in it under the last name of FILE or TARGET.',
  ],
  options: [
    { short: 's', long: 'symbolic', description: 'a symbolic link' },
    { short: 'f', long: 'force', description: 'replace a file that has the name' },
    {
      short: 'n',
      long: 'no-dereference',
      description: 'a NAME that is a symlink to a directory is the name, not the directory',
    },
    { short: 'v', long: 'verbose', description: 'name the link that is made' },
  ],
  examples: [
    {
      command: 'userloop ln -s vmlinuz-6.1 disk.img:/boot/vmlinuz',
      explanation: 'a symbolic link beside its target',
    },
    {
      command: 'userloop ln disk.img:/bin/busybox disk.img:/bin/sh',
      explanation: 'a second name for a file',
    },
  ],
  exitStatus: { 0: 'the link was made', 1: 'it could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, ln.options);
    checkOperands(args.operands, 2, 2);
    const [first, second] = args.operands as [string, string];
    const symbolic = args.has('s');
    checkPaths(io, symbolic ? [second] : [first, second]);
    if (symbolic && first === '') throw new UsageError('the target of the link is empty');
    const failures = new Failures(io, 'ln');
    using images = new OpenImages(io);
    failures.try(`cannot create link '${second}'`, () => {
      const link = openOperand(io, images, second, { write: true });
      const { fileSystem } = link;
      const source = symbolic ? undefined : openOperand(io, images, first, { write: true });
      if (source !== undefined && source.fileSystem !== fileSystem) throw new FsError('EXDEV');
      const target = source?.path ?? first;
      const directory = findPath(fileSystem, link.path, { follow: !args.has('n') });
      let path = link.path;
      if (directory !== undefined && fileSystem.attributes(directory).kind === 'directory') {
        const name = splitPath(target).at(-1);
        if (name === undefined || name === '..') throw new FsError('EEXIST');
        path = `${link.path.replace(/\/+$/, '')}/${name}`;
      }
      // A hard link to a symlink is one to the link itself, as ln(1) makes it on Linux.
      const node = source === undefined ? undefined : resolvePath(fileSystem, source.path, { follow: false });
      if (node !== undefined && fileSystem.attributes(node).kind === 'directory') {
        throw new FsError('EPERM', { detail: 'a directory cannot have a second name' });
      }
      const at = resolveParent(fileSystem, path);
      const existing = fileSystem.lookup(at.directory, at.name);
      if (existing !== undefined && args.has('f')) {
        if (existing === node) throw new FsError('EINVAL', { detail: 'source and target are the same file' });
        fileSystem.unlink(at.directory, at.name);
      }
      if (node === undefined) {
        if (!fileSystem.capabilities.symlinks) {
          throw new FsError('EOPNOTSUPP', { detail: `${fileSystem.type} has no symbolic links` });
        }
        fileSystem.create(at.directory, at.name, { kind: 'symlink', target });
      } else {
        if (!fileSystem.capabilities.hardLinks) {
          throw new FsError('EOPNOTSUPP', { detail: `${fileSystem.type} has no hard links` });
        }
        fileSystem.link(node, at.directory, at.name);
      }
      if (args.has('v')) io.stdout.write(`'${link.show(path)}' ${symbolic ? '->' : '=>'} '${target}'\n`);
    });
    images.close();
    return failures.status;
  },
});
