import { inspectImage } from '../../disk/inspect.ts';
import { renderImageReport } from '../../disk/inspect-text.ts';
import { UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { OpenImages, parseImageReference } from '../image-reference.ts';
import { Failures, printable } from './failure.ts';
import { checkOperands } from './operand.ts';
import { print, printJson } from './print.ts';

/** `userloop inspect`: what is in an image. */
export const inspect = defineApplet({
  name: 'inspect',
  kind: 'verb',
  summary: 'show what is in an image',
  usage: ['userloop inspect [--json] IMAGE...'],
  description: [
    'Shows the partition table, the boot code in the first sectors, and of each file system its type, label, UUID, space, features and whether it was closed cleanly. Nothing is written.',
  ],
  options: [{ long: 'json', description: 'as an array of objects' }],
  examples: [
    { command: 'userloop inspect disk.img', explanation: 'for people' },
    { command: "userloop inspect --json disk.img | jq '.[0].fileSystems'", explanation: 'for scripts' },
  ],
  exitStatus: { 0: 'all were shown', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, inspect.options);
    checkOperands(args.operands, 1);
    const failures = new Failures(io, 'inspect');
    const reports: object[] = [];
    using images = new OpenImages(io);
    for (const [index, text] of args.operands.entries()) {
      failures.try(`cannot inspect '${text}'`, () => {
        const reference = parseImageReference(io, text);
        if (reference.image !== text)
          throw new UsageError(`"${text}" is a part of an image; inspect takes whole images`);
        const report = inspectImage(images.disk(reference));
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
