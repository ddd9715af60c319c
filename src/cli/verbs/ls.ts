import { formatSize } from '../../bytes/size.ts';
import type { Attributes, NodeId } from '../../filesystem/file-system.ts';
import { resolvePath } from '../../filesystem/path.ts';
import { defineApplet } from '../applet.ts';
import { type ParsedArguments, getopt } from '../getopt.ts';
import type { Io } from '../io.ts';
import { printable } from './failure.ts';
import type { Failures } from './failure.ts';
import { type FileReport, reportFile } from './file-report.ts';
import { type ImageOperand, checkOperands, forEachOperand } from './operand.ts';
import { OwnerNames } from './owner.ts';
import { formatMode } from './permissions.ts';
import { alignColumns, print, printJson, textWidth } from './print.ts';
import { formatMinute } from './times.ts';

/** `userloop ls`: what is in a directory of an image. */
export const ls = defineApplet({
  name: 'ls',
  kind: 'verb',
  summary: 'list files of an image',
  usage: ['userloop ls [OPTION]... IMAGE[:N|@OFFSET][:/PATH]...'],
  description: [
    'Lists directories, and shows files, of the file system in an image, without mounting it. Options mean what they mean to ls(1); -l shows the names of owners that the image itself has in its /etc/passwd and /etc/group.',
  ],
  options: [
    { short: 'a', long: 'all', description: 'also entries that start with a dot, and . and ..' },
    { short: 'A', long: 'almost-all', description: 'also entries that start with a dot' },
    { short: 'l', description: 'mode, links, owner, group, size and time of each' },
    { short: 'n', long: 'numeric-uid-gid', description: 'as -l, with numbers for owners' },
    { short: 'h', long: 'human-readable', description: 'sizes as 1.4M' },
    { short: 'i', long: 'inode', description: 'inode numbers' },
    { short: 'R', long: 'recursive', description: 'directories below, too' },
    { short: 'd', long: 'directory', description: 'directories themselves, not what is in them' },
    { short: 't', description: 'newest first' },
    { short: 'S', description: 'largest first' },
    { short: 'r', long: 'reverse', description: 'in reverse order' },
    { short: '1', description: 'one name a line' },
    { long: 'json', description: 'as an array of objects, one for each file' },
  ],
  examples: [
    { command: 'userloop ls -l disk.img:1:/boot', explanation: 'the directory /boot of partition 1' },
    { command: 'userloop ls -lR floppy.img', explanation: 'all that is on a floppy' },
  ],
  exitStatus: { 0: 'all were listed', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, ls.options);
    checkOperands(args.operands, 1);
    const reports: FileReport[] = [];
    let first = true;
    const status = forEachOperand(
      io,
      'ls',
      args.operands,
      { action: 'cannot access' },
      (operand, failures) => {
        const listing = new Listing(io, args, operand, failures, reports);
        listing.run(first, args.operands.length > 1);
        first = false;
      },
    );
    if (args.has('json')) printJson(io, reports);
    return status;
  },
});

interface Row {
  readonly name: string;
  readonly path: string;
  readonly node: NodeId;
  readonly attributes: Attributes;
}

class Listing {
  readonly #io: Io;
  readonly #args: ParsedArguments;
  readonly #operand: ImageOperand;
  readonly #failures: Failures;
  readonly #reports: FileReport[];
  readonly #seen = new Set<NodeId>();
  #names: OwnerNames | undefined;

  constructor(
    io: Io,
    args: ParsedArguments,
    operand: ImageOperand,
    failures: Failures,
    reports: FileReport[],
  ) {
    this.#io = io;
    this.#args = args;
    this.#operand = operand;
    this.#failures = failures;
    this.#reports = reports;
  }

  run(first: boolean, several: boolean): void {
    const { fileSystem, path } = this.#operand;
    const long = this.#args.has('l') || this.#args.has('n');
    // As ls(1): -l and -d show a symlink itself, everything else what is behind it.
    const follow = !long && !this.#args.has('d');
    const node = resolvePath(fileSystem, path, { follow });
    const attributes = fileSystem.attributes(node);
    if (attributes.kind !== 'directory' || this.#args.has('d')) {
      this.#show([{ name: this.#operand.show(path), path, node, attributes }], false);
      return;
    }
    this.#directory(node, path, first, several || this.#args.has('R'));
  }

  #directory(node: NodeId, path: string, first: boolean, heading: boolean): void {
    this.#seen.add(node);
    const rows = this.#rows(node, path);
    if (heading && !this.#args.has('json')) {
      print(this.#io, `${first ? '' : '\n'}${this.#printable(this.#operand.show(path))}:\n`);
    }
    this.#show(rows, true);
    if (!this.#args.has('R')) return;
    for (const row of rows) {
      if (row.attributes.kind !== 'directory' || row.name === '.' || row.name === '..') continue;
      if (this.#seen.has(row.node)) {
        this.#failures.say(`'${this.#operand.show(row.path)}' was listed before under another name`);
        continue;
      }
      this.#failures.try(`cannot list '${this.#operand.show(row.path)}'`, () =>
        this.#directory(row.node, row.path, false, true),
      );
    }
  }

  #rows(directory: NodeId, path: string): Row[] {
    const { fileSystem } = this.#operand;
    const all = this.#args.has('a');
    const hidden = all || this.#args.has('A');
    const rows: Row[] = [];
    const base = path.endsWith('/') ? path : `${path}/`;
    const add = (name: string, node: NodeId): void => {
      this.#failures.try(`cannot read '${this.#operand.show(base + name)}'`, () => {
        rows.push({ name, path: base + name, node, attributes: fileSystem.attributes(node) });
      });
    };
    for (const { name, node } of fileSystem.entries(directory)) {
      if (hidden || !name.startsWith('.')) add(name, node);
    }
    rows.sort(this.#order());
    if (this.#args.has('r')) rows.reverse();
    if (!all || this.#args.has('json')) return rows;
    const entries = rows.splice(0);
    add('.', directory);
    add('..', fileSystem.parent(directory));
    return [...rows, ...entries];
  }

  #order(): (a: Row, b: Row) => number {
    const byName = (a: Row, b: Row): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
    if (this.#args.has('S')) return (a, b) => b.attributes.size - a.attributes.size || byName(a, b);
    if (this.#args.has('t')) {
      return (a, b) =>
        b.attributes.mtime.seconds - a.attributes.mtime.seconds ||
        b.attributes.mtime.nanoseconds - a.attributes.mtime.nanoseconds ||
        byName(a, b);
    }
    return byName;
  }

  #show(rows: readonly Row[], directory: boolean): void {
    if (this.#args.has('json')) {
      for (const row of rows) {
        this.#reports.push(reportFile(this.#operand.fileSystem, row.node, row.name, row.path));
      }
      return;
    }
    if (this.#args.has('l') || this.#args.has('n')) this.#showLong(rows, directory);
    else this.#showShort(rows);
  }

  #showShort(rows: readonly Row[]): void {
    const inode = this.#args.has('i');
    const cells = rows.map((row) => (inode ? `${row.node} ` : '') + this.#printable(row.name));
    if (this.#args.has('1') || !this.#io.stdout.isTerminal) {
      print(this.#io, cells.map((cell) => `${cell}\n`).join(''));
      return;
    }
    for (const line of inColumns(cells, this.#io.stdout.columns)) print(this.#io, `${line}\n`);
  }

  #showLong(rows: readonly Row[], directory: boolean): void {
    const { fileSystem } = this.#operand;
    this.#names ??= this.#args.has('n') ? new OwnerNames('', '') : OwnerNames.read(fileSystem);
    const names = this.#names;
    const human = this.#args.has('h');
    if (directory) {
      const allocated = rows.reduce((sum, { attributes }) => sum + attributes.allocated, 0);
      print(this.#io, `total ${human ? formatSize(allocated) : Math.ceil(allocated / 1024)}\n`);
    }
    const table = rows.map(({ name, node, attributes }) => {
      const { kind, mode, linkCount, uid, gid, size, device, mtime } = attributes;
      const target = kind === 'symlink' ? ` -> ${this.#printable(fileSystem.readLink(node))}` : '';
      return [
        ...(this.#args.has('i') ? [`${node}`] : []),
        formatMode(kind, mode),
        `${linkCount}`,
        printable(names.user(uid)),
        printable(names.group(gid)),
        device === undefined ? (human ? formatSize(size) : `${size}`) : `${device.major}, ${device.minor}`,
        formatMinute(mtime),
        this.#printable(name) + target,
      ];
    });
    const shift = this.#args.has('i') ? 1 : 0;
    const right = [...(shift === 1 ? [0] : []), 1 + shift, 4 + shift];
    for (const line of alignColumns(table, right)) print(this.#io, `${line}\n`);
  }

  /** On a terminal, names cannot play tricks; into a pipe, they go as they are. */
  #printable(name: string): string {
    return this.#io.stdout.isTerminal ? printable(name) : name;
  }
}

/** Names in as many columns as fit, down first. */
function inColumns(cells: readonly string[], width: number): string[] {
  const widths = cells.map(textWidth);
  for (let rowCount = 1; rowCount < cells.length; rowCount++) {
    const columns: number[] = [];
    for (let start = 0; start < cells.length; start += rowCount) {
      columns.push(Math.max(...widths.slice(start, start + rowCount)));
    }
    if (columns.reduce((sum, column) => sum + column + 2, -2) > width) continue;
    return Array.from({ length: rowCount }, (_, row) =>
      columns
        .map((column, index) => {
          const cell = cells[index * rowCount + row] ?? '';
          return cell + ' '.repeat(column - textWidth(cell));
        })
        .join('  ')
        .trimEnd(),
    );
  }
  return [...cells];
}
