import type { NodeId } from '../../filesystem/file-system.ts';
import { resolvePath } from '../../filesystem/path.ts';
import { UsageError } from '../../errors.ts';
import { compareNames } from '../../disk/tree/tree.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import type { Failures } from './failure.ts';
import { printable } from './failure.ts';
import { type ImageOperand, checkOperands, forEachOperand } from './operand.ts';
import { print } from './print.ts';

/** `userloop tree`: the files of an image as a tree. */
export const tree = defineApplet({
  name: 'tree',
  kind: 'verb',
  summary: 'show the files of an image as a tree',
  usage: ['userloop tree [OPTION]... IMAGE[:N|@OFFSET][:/PATH]...'],
  description: ['Draws directories and what is in them, with the numbers of both at the end.'],
  options: [
    { short: 'a', description: 'also entries that start with a dot' },
    { short: 'd', description: 'directories only' },
    { short: 'L', argument: 'required', argumentName: 'LEVEL', description: 'this many levels at most' },
  ],
  examples: [
    { command: 'userloop tree disk.img', explanation: 'everything in the only file system of disk.img' },
    { command: 'userloop tree -L 2 disk.img:2:/usr', explanation: 'two levels below /usr of partition 2' },
  ],
  exitStatus: { 0: 'all was shown', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, tree.options);
    checkOperands(args.operands, 1);
    const levels = args.has('L') ? Number(args.value('L')) : Infinity;
    if (!(levels >= 1)) throw new UsageError(`"${args.value('L')!}" is not a number of levels`);
    const drawing: Drawing = {
      hidden: args.has('a'),
      directoriesOnly: args.has('d'),
      levels,
      show: (name) => (io.stdout.isTerminal ? printable(name) : name),
      write: (text) => print(io, text),
      directoryCount: 0,
      fileCount: 0,
    };
    const status = forEachOperand(
      io,
      'tree',
      args.operands,
      { action: 'cannot access' },
      (operand, failures) => {
        const node = resolvePath(operand.fileSystem, operand.path);
        drawing.write(`${drawing.show(operand.show(operand.path))}\n`);
        draw(drawing, operand, failures, {
          node,
          path: operand.path,
          margin: '',
          level: 1,
          above: new Set(),
        });
      },
    );
    const { directoryCount, fileCount } = drawing;
    const files = args.has('d') ? '' : `, ${fileCount} ${fileCount === 1 ? 'file' : 'files'}`;
    drawing.write(`\n${directoryCount} ${directoryCount === 1 ? 'directory' : 'directories'}${files}\n`);
    return status;
  },
});

interface Drawing {
  readonly hidden: boolean;
  readonly directoriesOnly: boolean;
  readonly levels: number;
  readonly show: (name: string) => string;
  readonly write: (text: string) => void;
  directoryCount: number;
  fileCount: number;
}

interface Branch {
  readonly node: NodeId;
  readonly path: string;
  readonly margin: string;
  readonly level: number;
  readonly above: Set<NodeId>;
}

function draw(drawing: Drawing, operand: ImageOperand, failures: Failures, branch: Branch): void {
  const { fileSystem } = operand;
  // A directory that was drawn before can only come up in a damaged image.
  branch.above.add(branch.node);
  const entries = [...fileSystem.entries(branch.node)]
    .filter(
      ({ name, kind }) =>
        (drawing.hidden || !name.startsWith('.')) && (!drawing.directoriesOnly || kind === 'directory'),
    )
    .sort(compareNames);
  for (const [index, { name, node, kind }] of entries.entries()) {
    const last = index === entries.length - 1;
    const target = kind === 'symlink' ? ` -> ${drawing.show(fileSystem.readLink(node))}` : '';
    drawing.write(`${branch.margin}${last ? '└── ' : '├── '}${drawing.show(name)}${target}\n`);
    if (kind !== 'directory') {
      drawing.fileCount++;
      continue;
    }
    drawing.directoryCount++;
    const path = branch.path.endsWith('/') ? branch.path + name : `${branch.path}/${name}`;
    if (branch.above.has(node)) {
      failures.say(`'${operand.show(path)}' was shown before under another name`);
      continue;
    }
    if (branch.level >= drawing.levels) continue;
    const margin = branch.margin + (last ? '    ' : '│   ');
    failures.try(`cannot list '${operand.show(path)}'`, () =>
      draw(drawing, operand, failures, { node, path, margin, level: branch.level + 1, above: branch.above }),
    );
  }
}
