import { fixedClock } from '../../bytes/time.ts';
import type { CopyOptions } from '../../disk/tree/copy-options.ts';
import { UsageError } from '../../errors.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import { type ParsedArguments, getopt } from '../getopt.ts';
import { OpenImages, type Place, parsePlace } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { CopyJob } from './copy-job.ts';
import { copyFromInput, copyToOutput } from './copy-stream.ts';
import { Failures } from './failure.ts';
import { checkOperands } from './operand.ts';

/** `userloop cp`: copy files between the host and images. */
export const cp = defineApplet({
  name: 'cp',
  kind: 'verb',
  summary: 'copy files into, out of and between images',
  usage: [
    'userloop cp [OPTION]... SOURCE TARGET',
    'userloop cp [OPTION]... SOURCE... DIRECTORY',
    'userloop cp [OPTION]... - IMAGE:/FILE',
    'userloop cp [OPTION]... IMAGE:/FILE -',
  ],
  description: [
    'Each operand is a file of the host or IMAGE:/path, IMAGE:N:/path, IMAGE@OFFSET:/path; one at least is in an image. A directory as TARGET takes the sources under their own names, as for cp(1), and SOURCE/. or IMAGE:/ stands for what is in it. A symbolic link as TARGET is replaced, not followed, unless it leads to a directory. - is standard input or output.',
    'Names may contain : and @ themselves: an operand that is the name of a file of the host is that file; otherwise the shortest IMAGE that is there counts, and without one only a text with :/ is in an image, so ./a:b stays a file of the host.',
    'With -r, files keep their modes, owners, times, hard links, holes and extended attributes as far as source and target have them; device nodes, pipes and sockets are copied as such. Each file that the target cannot hold is named on standard error, the rest is copied, and the exit status is 1. Names are taken in sorted order.',
    'Nothing is written outside of TARGET, whatever names and links an image holds.',
    'With SOURCE_DATE_EPOCH in the environment, or with --reproducible, every time that is written is that one, so that the same files give the same image.',
  ],
  options: [
    { short: 'r', long: 'recursive', description: 'directories, too' },
    { short: 'R', description: 'as -r' },
    {
      short: 'a',
      long: 'archive',
      description: 'as -rpP, and what of the attributes is lost counts as an error',
    },
    {
      short: 'p',
      description:
        'modes, owners and times as they are, without -r, too; directories that are there get those of the source',
    },
    { short: 'n', long: 'no-clobber', description: 'overwrite nothing' },
    { short: 'f', long: 'force', description: 'remove a file that cannot be overwritten' },
    { short: 'v', long: 'verbose', description: 'name each file' },
    { short: 'L', long: 'dereference', description: 'follow all symbolic links of the sources' },
    { short: 'H', description: 'follow those that are named as SOURCE' },
    { short: 'P', long: 'no-dereference', description: 'follow none; the default with -r' },
    { short: 'T', long: 'no-target-directory', description: 'TARGET is never a directory to copy into' },
    {
      long: 'owner',
      argument: 'required',
      argumentName: 'USER:GROUP',
      description: 'the owner of all copies; names are those of the target image',
    },
    { long: 'reproducible', description: 'all times are SOURCE_DATE_EPOCH, or 0' },
  ],
  examples: [
    {
      command: 'userloop cp -r ./boot disk.img:1:/',
      explanation: 'a directory of the host into partition 1',
    },
    { command: 'userloop cp -a disk.img:1:/. ./rootfs', explanation: 'all of a file system to the host' },
    {
      command: 'userloop cp -r --owner 0:0 --reproducible rootfs/. disk.img:/',
      explanation: 'the same files give the same image',
    },
  ],
  exitStatus: { 0: 'all was copied', 1: 'some was not', 2: 'wrong usage' },
  notSupported: [
    '-i, -u, -l, -s, -x, -b, -t, --sparse, --preserve=LIST: see cp(1)',
    'Copies from host to host',
  ],
  run(io, argv) {
    const args = getopt(argv, cp.options);
    checkOperands(args.operands, 2);
    const failures = new Failures(io, 'cp');
    const clock = reproducibleClock(io, args);
    using images = new OpenImages(io, clock === undefined ? {} : { clock });
    const texts = args.operands;
    const target = texts.at(-1)!;
    if (texts.includes('-')) {
      if (texts.length !== 2) throw new UsageError('- stands for one file, and takes one other operand');
      if (texts[0] === target) throw new UsageError('neither operand is in an image');
      if (target === '-') copyToOutput(io, images, texts[0]!, failures);
      else copyFromInput(io, images, target, args, failures);
    } else {
      const places = texts.map((text) => parsePlace(io, text));
      checkImages(texts, places);
      const job = new CopyJob(io, images, failures, {
        ...copyOptions(args, clock?.()),
        verbose: args.has('v'),
        strict: args.has('a') || args.has('p'),
        noTargetDirectory: args.has('T'),
        owner: args.value('owner'),
      });
      failures.try(`cannot copy to '${target}'`, () =>
        job.run(places.slice(0, -1), texts.slice(0, -1), places.at(-1)!, target),
      );
    }
    images.close();
    return failures.status;
  },
});

function reproducibleClock(io: Io, args: ParsedArguments): ReturnType<typeof fixedClock> | undefined {
  if ((io.env['SOURCE_DATE_EPOCH'] ?? '') !== '') return clockFromEnvironment(io.env);
  return args.has('reproducible') ? fixedClock(0) : undefined;
}

/** Host to host is cp(1)'s work; most often a `:/` is missing. */
function checkImages(texts: readonly string[], places: readonly Place[]): void {
  if (places.some(({ kind }) => kind === 'image')) return;
  throw new UsageError(`no operand is in an image; write "${texts.at(-1)!}:/" if that is one`);
}

type OptionsWithoutOwner = Omit<CopyOptions, 'uid' | 'gid' | 'excluded'>;

function copyOptions(args: ParsedArguments, time: CopyOptions['time']): OptionsWithoutOwner {
  const recursive = args.has('r') || args.has('R') || args.has('a');
  const keep = recursive || args.has('p');
  const links = args.options.findLast(({ spec }) => 'LHP'.includes(spec.short ?? '-'))?.spec.short;
  const follow =
    links === 'L' ? 'all' : links === 'H' ? 'operands' : links === 'P' || recursive ? 'none' : 'all';
  return {
    recursive,
    follow,
    keepMode: keep,
    umask: process.umask(),
    keepTimes: keep,
    ...(time === undefined ? {} : { time }),
    keepOwner: true,
    keepXattrs: keep,
    updateDirectories: args.has('a') || args.has('p'),
    noClobber: args.has('n'),
    force: args.has('f'),
  };
}
