import type { Timestamp } from '../../bytes/time.ts';
import { FsError, UsageError } from '../../errors.ts';
import { findPath, resolveParent, resolvePath } from '../../filesystem/path.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import { type ParsedArguments, getopt } from '../getopt.ts';
import { OpenImages } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { checkOperands, checkPaths, forEachOperand, openOperand } from './operand.ts';
import { parseDate, parseStamp } from './times.ts';

/** `userloop touch`: times of files of an image; makes files that are not there. */
export const touch = defineApplet({
  name: 'touch',
  kind: 'verb',
  summary: 'set the times of files of an image',
  usage: ['userloop touch [OPTION]... IMAGE[:N|@OFFSET]:/PATH...'],
  description: [
    'Sets the times of last access and last change of the files to now, or to another time, and makes an empty file where there is none.',
  ],
  options: [
    { short: 'a', description: 'the time of last access only' },
    { short: 'm', description: 'the time of last change only' },
    { short: 'c', long: 'no-create', description: 'make no file' },
    {
      short: 'd',
      long: 'date',
      argument: 'required',
      argumentName: 'DATE',
      description: '@SECONDS or YYYY-MM-DD[ hh:mm[:ss]][Z|+hh:mm]',
    },
    { short: 't', argument: 'required', argumentName: 'STAMP', description: '[[CC]YY]MMDDhhmm[.ss]' },
    {
      short: 'r',
      long: 'reference',
      argument: 'required',
      argumentName: 'IMAGE:/PATH',
      description: 'the times of another file of an image',
    },
    { short: 'h', long: 'no-dereference', description: 'symbolic links themselves' },
  ],
  examples: [
    { command: 'userloop touch disk.img:/etc/fastboot', explanation: 'make an empty file' },
    { command: 'userloop touch -d @1700000000 disk.img:/etc/hostname', explanation: 'set a time exactly' },
  ],
  exitStatus: { 0: 'all were set', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, touch.options);
    checkOperands(args.operands, 1);
    checkPaths(io, args.operands);
    const times = wantedTimes(io, args);
    const changes = {
      ...(args.has('m') && !args.has('a') ? {} : { atime: times.atime }),
      ...(args.has('a') && !args.has('m') ? {} : { mtime: times.mtime }),
    };
    return forEachOperand(
      io,
      'touch',
      args.operands,
      { write: true, action: 'cannot touch' },
      ({ fileSystem, path }) => {
        const node = findPath(fileSystem, path, { follow: !args.has('h') });
        if (node !== undefined) {
          fileSystem.setAttributes(node, changes);
          return;
        }
        if (args.has('c')) return;
        if (path.endsWith('/')) throw new FsError('ENOENT', { syscall: 'open', path });
        const { directory, name } = resolveParent(fileSystem, path, { syscall: 'open' });
        if (fileSystem.lookup(directory, name) !== undefined) {
          throw new FsError('ENOENT', { detail: 'a symbolic link that leads nowhere is there' });
        }
        fileSystem.create(directory, name, { kind: 'file', ...changes });
      },
    );
  },
});

function wantedTimes(io: Io, args: ParsedArguments): { atime: Timestamp; mtime: Timestamp } {
  const sources = ['d', 't', 'r'].filter((option) => args.has(option));
  if (sources.length > 1)
    throw new UsageError(`options ${sources.map((each) => `-${each}`).join(' and ')} exclude each other`);
  const now = clockFromEnvironment(io.env)();
  if (args.has('r')) {
    using images = new OpenImages(io);
    const { fileSystem, path } = openOperand(io, images, args.value('r')!);
    return fileSystem.attributes(resolvePath(fileSystem, path));
  }
  const time = args.has('d')
    ? parseDate(args.value('d')!)
    : args.has('t')
      ? parseStamp(args.value('t')!, now)
      : now;
  return { atime: time, mtime: time };
}
