import { formatSize } from '../../bytes/size.ts';
import type { DiskImage } from '../../disk/disk-image.ts';
import { UsageError } from '../../errors.ts';
import { probeFileSystem } from '../../filesystem/drivers.ts';
import type { FileSystem, Usage } from '../../filesystem/file-system.ts';
import { defineApplet } from '../applet.ts';
import { type ParsedArguments, getopt } from '../getopt.ts';
import { type ImageReference, OpenImages, formatReference, parseImageReference } from '../image-reference.ts';
import { Failures } from './failure.ts';
import { checkOperands } from './operand.ts';
import { alignColumns, print, printJson } from './print.ts';

/** `userloop df`: space in the file systems of images. */
export const df = defineApplet({
  name: 'df',
  kind: 'verb',
  summary: 'show the space in the file systems of images',
  usage: ['userloop df [OPTION]... IMAGE[:N|@OFFSET]...'],
  description: [
    'Prints what df -Th prints of mounted file systems: size, what is used, and what is left for users other than root. IMAGE alone shows all its file systems.',
  ],
  options: [
    { short: 'k', description: 'in blocks of 1024 bytes instead of powers of 1024' },
    {
      short: 'B',
      argument: 'required',
      argumentName: '1',
      description: 'in bytes; 1 is the only size that is taken',
    },
    { short: 'i', long: 'inodes', description: 'inodes instead of space' },
    { long: 'json', description: 'as an array of objects, in bytes' },
  ],
  examples: [
    { command: 'userloop df disk.img', explanation: 'every file system of the image' },
    { command: 'userloop df --json disk.img:2', explanation: 'partition 2, for a script' },
  ],
  exitStatus: { 0: 'all were shown', 1: 'some could not be', 2: 'wrong usage' },
  notSupported: ['-B with another size than 1'],
  run(io, argv) {
    const args = getopt(argv, df.options);
    checkOperands(args.operands, 1);
    const unit = unitOf(args);
    const failures = new Failures(io, 'df');
    const rows: Row[] = [];
    using images = new OpenImages(io);
    for (const text of args.operands) {
      failures.try(`cannot read '${text}'`, () => {
        const reference = parseImageReference(io, text);
        for (const each of fileSystemsOf(images.disk(reference), reference)) {
          failures.try(`cannot read '${formatReference(each)}'`, () => {
            rows.push(rowOf({ ...each, path: undefined }, images.fileSystem(each)));
          });
        }
      });
    }
    if (args.has('json')) printJson(io, rows.map(plain));
    else if (rows.length > 0) {
      for (const line of table(rows, args.has('i'), unit)) print(io, `${line}\n`);
    }
    return failures.status;
  },
});

type Unit = 'human' | 1 | 1024;

function unitOf(args: ParsedArguments): Unit {
  const size = args.value('B');
  if (size !== undefined && size !== '1')
    throw new UsageError(`option -B takes 1 and nothing else, not "${size}"`);
  return size === '1' ? 1 : args.has('k') ? 1024 : 'human';
}

interface Row {
  readonly name: string;
  readonly type: string;
  readonly label: string;
  readonly usage: Usage;
}

/** The one that is named, or all that the image has. */
function fileSystemsOf(disk: DiskImage, reference: ImageReference): ImageReference[] {
  const named = reference.partition !== undefined || reference.offset !== undefined;
  if (named || disk.partitions.length === 0 || probeFileSystem(disk.device) !== undefined) return [reference];
  const found = disk.partitions
    .filter(
      ({ kind, device }) =>
        kind !== 'extended' && device !== undefined && probeFileSystem(device) !== undefined,
    )
    .map(({ number }) => ({ ...reference, partition: number }));
  // None: opening the image then says what is there instead.
  return found.length === 0 ? [reference] : found;
}

function rowOf(reference: ImageReference, fileSystem: FileSystem): Row {
  return {
    name: formatReference(reference),
    type: fileSystem.type,
    label: fileSystem.label,
    usage: fileSystem.usage(),
  };
}

function plain({ name, type, label, usage }: Row): object {
  const { blockSize, totalBlocks, freeBlocks, availableBlocks, totalNodes, freeNodes } = usage;
  return {
    fileSystem: name,
    type,
    label,
    blockSize,
    size: totalBlocks * blockSize,
    used: (totalBlocks - freeBlocks) * blockSize,
    free: freeBlocks * blockSize,
    available: availableBlocks * blockSize,
    inodes: totalNodes,
    freeInodes: freeNodes,
  };
}

function table(rows: readonly Row[], inodes: boolean, unit: Unit): string[] {
  const head = inodes
    ? ['Filesystem', 'Type', 'Inodes', 'IUsed', 'IFree', 'IUse%']
    : [
        'Filesystem',
        'Type',
        unit === 'human' ? 'Size' : unit === 1 ? '1B-blocks' : '1K-blocks',
        'Used',
        'Avail',
        'Use%',
      ];
  const body = rows.map(({ name, type, usage }) => {
    const { blockSize, totalBlocks, freeBlocks, availableBlocks, totalNodes, freeNodes } = usage;
    if (inodes) {
      const used = totalNodes - freeNodes;
      return [
        name,
        type,
        `${totalNodes}`,
        `${used}`,
        `${freeNodes}`,
        totalNodes === 0 ? '-' : percent(used, totalNodes),
      ];
    }
    const show = (blocks: number): string => {
      const size = blocks * blockSize;
      return unit === 'human' ? ceilSize(size) : `${Math.ceil(size / unit)}`;
    };
    const used = totalBlocks - freeBlocks;
    return [
      name,
      type,
      show(totalBlocks),
      show(used),
      show(availableBlocks),
      percent(used, used + availableBlocks),
    ];
  });
  return alignColumns([head, ...body], [2, 3, 4, 5]);
}

/** As df(1): of what users can have, rounded up. */
function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${Math.ceil((part / whole) * 100)}%`;
}

/** As df -h rounds: up, with a decimal below 10. */
function ceilSize(size: number): string {
  let value = size;
  let power = 0;
  while (value >= 1024 && power < 6) {
    value /= 1024;
    power++;
  }
  if (power === 0) return `${size}`;
  const tenths = Math.ceil(value * 10) / 10;
  if (tenths >= 10) {
    const whole = Math.ceil(value);
    return whole === 1024 ? formatSize(1024 ** (power + 1)) : `${whole}${'KMGTPE'[power - 1]}`;
  }
  return `${tenths.toFixed(1)}${'KMGTPE'[power - 1]}`;
}
