import { resolvePath, splitPath } from '../../filesystem/path.ts';
import { nameKind } from '../../disk/tree/tree.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { printable } from './failure.ts';
import { type FileReport, reportFile } from './file-report.ts';
import { checkOperands, forEachOperand } from './operand.ts';
import { OwnerNames } from './owner.ts';
import { formatMode, formatOctal } from './permissions.ts';
import { print, printJson } from './print.ts';
import { formatExact } from './times.ts';

/** `userloop stat`: all that an image knows of a file. */
export const stat = defineApplet({
  name: 'stat',
  kind: 'verb',
  summary: 'show what an image knows of a file',
  usage: ['userloop stat [OPTION]... IMAGE[:N|@OFFSET]:/PATH...'],
  description: [
    'Shows size, space, inode number, links, mode, owner and times to the nanosecond, extended attributes, and with --placement where the content lies in the file system.',
  ],
  options: [
    { short: 'L', long: 'dereference', description: 'what is behind a symbolic link' },
    { long: 'placement', description: 'also the ranges of bytes that hold the content' },
    { long: 'json', description: 'as an array of objects' },
  ],
  examples: [
    { command: 'userloop stat disk.img:1:/boot/vmlinuz', explanation: 'one file' },
    {
      command: 'userloop stat --json --placement disk.img:/boot/grub/stage2',
      explanation: 'with its place on the disk, for a script',
    },
  ],
  exitStatus: { 0: 'all were shown', 1: 'some could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, stat.options);
    checkOperands(args.operands, 1);
    const reports: object[] = [];
    const status = forEachOperand(
      io,
      'stat',
      args.operands,
      { action: 'cannot stat' },
      ({ fileSystem, path, show }) => {
        const node = resolvePath(fileSystem, path, { follow: args.has('L') });
        const name = splitPath(path).at(-1) ?? '/';
        const report: FileReport = reportFile(fileSystem, node, name, path);
        const xattrs = fileSystem.capabilities.xattrs
          ? fileSystem
              .listXattrs(node)
              .map(
                (each) => [each, quoteBytes(fileSystem.getXattr(node, each) ?? new Uint8Array(0))] as const,
              )
          : [];
        const placement = args.has('placement') ? [...fileSystem.placement(node)] : undefined;
        if (args.has('json')) {
          reports.push({
            ...report,
            xattrs: Object.fromEntries(xattrs),
            ...(placement === undefined ? {} : { placement }),
          });
          return;
        }
        const attributes = fileSystem.attributes(node);
        const names = OwnerNames.read(fileSystem);
        const { uid, gid, kind, mode, device } = attributes;
        const target = report.target === undefined ? '' : ` -> ${report.target}`;
        const lines = [
          `  File: ${show(path)}${target}`,
          `  Size: ${`${attributes.size}`.padEnd(16)}Space: ${`${attributes.allocated}`.padEnd(16)}${nameKind(kind)}`,
          ` Inode: ${`${node}`.padEnd(16)}Links: ${`${attributes.linkCount}`.padEnd(16)}${device === undefined ? '' : `Device: ${device.major}, ${device.minor}`}`.trimEnd(),
          `  Mode: ${formatOctal(mode)} (${formatMode(kind, mode)})  Owner: ${uid} (${names.user(uid)})  Group: ${gid} (${names.group(gid)})`,
          `Access: ${formatExact(attributes.atime)}`,
          `Modify: ${formatExact(attributes.mtime)}`,
          `Change: ${formatExact(attributes.ctime)}`,
          ` Birth: ${attributes.birthtime === undefined ? '-' : formatExact(attributes.birthtime)}`,
        ];
        if (fileSystem.capabilities.dosAttributes)
          lines.push(`   DOS: ${dosAttributeLetters(attributes.dosAttributes)}`);
        for (const [each, value] of xattrs) lines.push(` Xattr: ${each}=${value}`);
        for (const { fileOffset, deviceOffset, length } of placement ?? []) {
          lines.push(
            ` Place: ${length} bytes at ${fileOffset} lie at byte ${deviceOffset} of the file system`,
          );
        }
        print(io, lines.map((line) => `${io.stdout.isTerminal ? printable(line) : line}\n`).join(''));
      },
    );
    if (args.has('json')) printJson(io, reports);
    return status;
  },
});

/** As getfattr(1): text in quotes where it is text, otherwise `0x…`. */
function quoteBytes(value: Uint8Array): string {
  if (value.every((byte) => byte >= 0x20 && byte < 0x7f && byte !== 0x22))
    return `"${String.fromCharCode(...value)}"`;
  return `0x${Buffer.from(value).toString('hex')}`;
}

/** `RHSA` with `-` for what is not set, as attrib shows them. */
function dosAttributeLetters(bits: number): string {
  return ['R', 'H', 'S', 'A']
    .map((letter, index) => ((bits & [1, 2, 4, 32][index]!) === 0 ? '-' : letter))
    .join('');
}
