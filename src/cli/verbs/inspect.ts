import { inspectImage } from '../../disk/inspect.ts';
import { renderImageReport } from '../../disk/inspect-text.ts';
import { UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { type ImageReference, OpenImages, parseImageReference } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { Failures, printable } from './failure.ts';
import { repairImage } from './inspect-repair.ts';
import { checkOperands } from './operand.ts';
import { print, printJson } from './print.ts';

/** `userloop inspect`: what is in an image. */
export const inspect = defineApplet({
  name: 'inspect',
  kind: 'verb',
  summary: 'show what is in an image',
  usage: [
    'userloop inspect [--json] IMAGE...',
    'userloop inspect --repair [--dry-run | --yes] [--backup FILE] [--json] IMAGE',
  ],
  description: [
    'Shows the partition table, the boot code in the first sectors, and of each file system its type, label, UUID, space, features and whether it was closed cleanly. What is wrong with the table is explained: where, what was found, what was expected. Nothing is written.',
    'With --repair it shows what would mend the table, field by field, before anything is written, and then asks for each mend. A mend is offered where the right value follows from the rest of the image: a header from its copy, a backup that belongs at the end, checksums, a chain that loops. Of two partitions that overlap nobody can tell which is right; that is left to fdisk and sfdisk. An image that is attached, mounted or read-only is refused.',
    '--backup keeps the sectors that are written over, as text that xxd reads: xxd -r FILE IMAGE puts them back.',
  ],
  options: [
    { long: 'json', description: 'as an array of objects' },
    { long: 'repair', description: 'mend the partition table' },
    {
      short: 'n',
      long: 'dry-run',
      description: 'with --repair: show what would be written, and write nothing',
    },
    { short: 'y', long: 'yes', description: 'with --repair: do all that is shown without a question' },
    {
      long: 'backup',
      argument: 'required',
      argumentName: 'FILE',
      description: 'with --repair: first keep what is written over in FILE, which must not be there yet',
    },
  ],
  examples: [
    { command: 'userloop inspect disk.img', explanation: 'for people' },
    { command: "userloop inspect --json disk.img | jq '.[0].fileSystems'", explanation: 'for scripts' },
    {
      command: 'userloop inspect --repair --backup before.txt disk.img',
      explanation: 'shows each mend and asks; xxd -r before.txt disk.img undoes them',
    },
  ],
  exitStatus: {
    0: 'all were shown; with --repair: nothing is wrong with the table, or no longer',
    1: 'some could not be shown; with --repair: something is wrong still, or could not be written',
    2: 'wrong usage',
  },
  run(io, argv) {
    const args = getopt(argv, inspect.options);
    const repair = args.has('repair');
    const extra = ['dry-run', 'yes', 'backup'].find((option) => args.has(option));
    if (!repair && extra !== undefined) throw new UsageError(`--${extra} is for --repair`);
    if (args.has('dry-run') && args.has('yes'))
      throw new UsageError('--dry-run and --yes exclude each other');
    if (repair && args.has('json') && !args.has('dry-run') && !args.has('yes')) {
      throw new UsageError('--repair --json asks nothing: say --dry-run or --yes');
    }
    checkOperands(args.operands, 1, repair ? 1 : undefined);
    if (repair) return repairImage(io, wholeImage(io, args.operands[0]!), args);
    const failures = new Failures(io, 'inspect');
    const reports: object[] = [];
    using images = new OpenImages(io);
    for (const [index, text] of args.operands.entries()) {
      failures.try(`cannot inspect '${text}'`, () => {
        const report = inspectImage(images.disk(wholeImage(io, text)));
        if (args.has('json')) {
          reports.push({ image: text, ...report });
          return;
        }
        const lines = renderImageReport(report, text).map(printable);
        print(io, `${index > 0 ? '\n' : ''}${lines.join('\n')}\n`);
      });
    }
    if (args.has('json')) printJson(io, reports);
    return failures.status;
  },
});

function wholeImage(io: Io, text: string): ImageReference {
  const reference = parseImageReference(io, text);
  if (reference.image === text) return reference;
  throw new UsageError(`"${text}" is a part of an image; inspect takes whole images`);
}
