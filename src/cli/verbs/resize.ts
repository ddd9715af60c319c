import fs from 'node:fs';
import { formatSize, parseSize } from '../../bytes/size.ts';
import { UsageError } from '../../errors.ts';
import type { ResizePlan } from '../../filesystem/ext/resize/passes.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import { checkUndoFile } from '../check/apply.ts';
import { refuseInUse } from '../device-use.ts';
import { getopt, type ParsedArguments } from '../getopt.ts';
import { parseImageReference } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { isOnlyZeros } from '../resize/file-tail.ts';
import { openPlace, type Place, partitionCommand, sectorSize } from '../resize/place.ts';
import { planFor, type Size, type Sizes } from '../resize/sizes.ts';
import { keepBefore } from '../resize/undo.ts';
import { openDevice } from '../open-device.ts';
import { printable } from './failure.ts';
import { checkOperands } from './operand.ts';
import { print, printJson } from './print.ts';

/** `userloop resize`: makes a file system larger or smaller, and with it the image that it is all of. */
export const resize = defineApplet({
  name: 'resize',
  kind: 'verb',
  summary: 'make a file system larger or smaller',
  usage: [
    'userloop resize [OPTION]... IMAGE[:N|@OFFSET] SIZE',
    'userloop resize [OPTION]... --minimum|--max IMAGE[:N|@OFFSET]',
  ],
  description: [
    'Gives an ext2, ext3 or ext4 file system another size. SIZE is in bytes, with the suffixes K, M, G, T, P, E (or KiB, MiB …) in powers of 1024 and KB, MB … in powers of 1000; with a + or a - before it, it is added to the size that there is or taken off. What is no whole number of blocks is rounded down.',
    'Where the file system is all of a plain image, the image becomes longer before, or shorter afterwards. In a partition it stays inside: the partition itself is not changed, but the command that does it is told.',
    'The file system is checked first, and left as it is when something is wrong with it, or when its files have no room in the new size. Everything is worked out before the first write. Cut short at any moment no file is lost: userloop check -y mends what is left, then resize again.',
  ],
  options: [
    { long: 'minimum', description: 'as small as its files allow' },
    { long: 'max', description: 'as large as its partition, its device or its image is' },
    { short: 'n', long: 'dry-run', description: 'tell what would be done, and write nothing' },
    {
      long: 'undo',
      argument: 'required',
      argumentName: 'FILE',
      description:
        'keep what is overwritten in the new file FILE, for userloop check --restore; the image keeps its length then when it could become shorter',
    },
    { long: 'json', description: 'as an object, sizes in bytes' },
  ],
  examples: [
    { command: 'userloop resize disk.img 4G', explanation: 'makes image and file system 4 GiB large' },
    { command: 'userloop resize --minimum disk.img', explanation: 'makes both as small as the files allow' },
    { command: 'userloop resize --max disk.img:2', explanation: 'has the file system fill partition 2' },
    {
      command: 'userloop resize -n disk.img:1 -500M',
      explanation: 'tells whether partition 1 could do with 500 MiB less',
    },
  ],
  exitStatus: { 0: 'done, or nothing to do', 1: 'it could not be done', 2: 'wrong usage' },
  notSupported: [
    'FAT: make a new file system with mkfs.fat and copy the files with userloop cp -r',
    'a mounted file system: unmount it first, or let it grow in use with resize2fs',
    'file systems with bigalloc or shared_blocks; moving blocks of one with bad blocks',
  ],
  run(io, argv) {
    // A size to take off looks like an option; none has a digit.
    const less = argv.findIndex((each, at) => /^-\d/.test(each) && argv[at - 1] !== '--undo');
    const rest = argv.filter((_, at) => at !== less);
    const args = getopt(rest, resize.options);
    const operands = less < 0 ? args.operands : [...args.operands, argv[less]!];
    return run(io, args, operands);
  },
});

function run(io: Io, args: ParsedArguments, operands: readonly string[]): number {
  const wanted = readSize(args, operands);
  const undoFile = args.value('undo');
  const dryRun = args.has('dry-run');
  if (dryRun && undoFile !== undefined) throw new UsageError('--undo does not go with --dry-run');
  checkUndoFile(io, undoFile);
  const reference = parseImageReference(io, operands[0]!);
  if (!dryRun) refuseInUse(io, reference.image);
  const place = openPlace(io, reference, { readOnly: dryRun });
  try {
    const { sizes, plan } = planFor(place, wanted, clockFromEnvironment(io.env));
    const job: Job = { io, place, sizes, plan, undoFile, dryRun, json: args.has('json') };
    const steps = stepsOf(job);
    if (!job.json) tell(job, steps);
    if (plan !== undefined && !dryRun) carryOut(job, plan, steps);
    if (job.json) printJson(io, reportOf(job, steps));
    else if (plan !== undefined) {
      print(io, dryRun ? 'Nothing was written\n' : `${printable(place.name)}: done\n`);
    }
    return 0;
  } finally {
    place.close();
  }
}

interface Job {
  readonly io: Io;
  readonly place: Place;
  readonly sizes: Sizes;
  /** Undefined when there is nothing to do. */
  readonly plan: ResizePlan | undefined;
  readonly undoFile: string | undefined;
  readonly dryRun: boolean;
  readonly json: boolean;
}

function readSize(args: ParsedArguments, operands: readonly string[]): Size {
  const isMinimum = args.has('minimum');
  const isMaximum = args.has('max');
  if (isMinimum && isMaximum) throw new UsageError('only one of --minimum and --max can be given');
  if (isMinimum || isMaximum) {
    checkOperands(operands, 1, 1);
    return { kind: isMinimum ? 'minimum' : 'maximum' };
  }
  checkOperands(operands, 2, 2);
  const text = operands[1]!;
  const sign = /^[+-]/.exec(text)?.[0];
  const bytes = parseSize(text.slice(sign?.length ?? 0));
  if (bytes === undefined) {
    throw new UsageError(`"${text}" is not a size, expected something like 500M, +1G or -200M`);
  }
  if (sign === undefined) return { kind: 'size', bytes };
  return { kind: 'change', bytes: sign === '-' ? -bytes : bytes };
}

/** What happens to the file around the file system. Bytes. */
interface Steps {
  /** The length of the image before and after; undefined where it is not a plain file that is all file system. */
  readonly image?: { readonly before: number; readonly after: number };
  /** Why the image is not made shorter. */
  readonly kept?: string;
}

function stepsOf({ place, sizes, plan, undoFile }: Job): Steps {
  if (place.file === undefined) return {};
  const before = place.device.size;
  const { blockSize } = sizes;
  const length = (plan?.blockCount ?? sizes.before) * blockSize;
  if (plan === undefined) return { image: { before, after: before } };
  if (length >= before) return { image: { before, after: length } };
  if (plan.blockCount > sizes.before) return { image: { before, after: before } };
  const same = { before, after: before };
  if (undoFile !== undefined) return { image: same, kept: 'so that what --undo keeps can be put back' };
  if (!isOnlyZeros(place.device, sizes.before * blockSize)) {
    return { image: same, kept: 'there is something behind the file system' };
  }
  return { image: { before, after: length } };
}

function tell({ io, place, sizes, plan }: Job, { image, kept }: Steps): void {
  const { blockSize } = sizes;
  const name = printable(place.name);
  const size = (blocks: number): string =>
    `${formatSize(blocks * blockSize)} (${blocks} blocks of ${blockSize} bytes)`;
  if (plan === undefined) {
    print(io, `${name}: the file system has ${size(sizes.before)} already; nothing to do\n`);
    return;
  }
  const lines = [`the file system has ${size(sizes.before)} and gets ${size(plan.blockCount)}`];
  if (image !== undefined && image.after > image.before) {
    lines.push(`the image becomes longer: ${image.after} bytes instead of ${image.before}`);
  }
  if (image !== undefined && image.after < image.before) {
    lines.push(`the image is cut behind it: ${image.after} bytes instead of ${image.before}`);
  }
  if (kept !== undefined) lines.push(`the image keeps its length: ${kept}`);
  const { partition } = place;
  if (partition !== undefined && plan.blockCount < sizes.before) {
    const sectors = Math.ceil((plan.blockCount * blockSize) / sectorSize(partition));
    const command = partitionCommand(imageOf(place), partition.kind, partition.number, sectors);
    lines.push(
      `partition ${partition.number} keeps its ${formatSize(partition.size)}; this makes it smaller: ${command}`,
    );
  }
  print(io, lines.map((line) => `${name}: ${printable(line)}\n`).join(''));
}

function imageOf({ name }: Place): string {
  return name.replace(/:\d+$/, '');
}

function carryOut({ io, place, undoFile }: Job, plan: ResizePlan, { image }: Steps): void {
  let { device } = place;
  const { file } = place;
  const grows = file !== undefined && image !== undefined && image.after > image.before;
  let isStarted = false;
  try {
    if (grows) {
      fs.truncateSync(file, image.after);
      device = openDevice(io, file);
    }
    if (undoFile !== undefined) keepBefore(io, undoFile, device, plan);
    isStarted = true;
    plan.apply(device);
    if (file !== undefined && image !== undefined && image.after < image.before) {
      fs.truncateSync(file, image.after);
    }
  } catch (error) {
    // Once something was written, the file system may need the new length.
    if (grows && !isStarted) fs.truncateSync(file, image.before);
    throw error;
  } finally {
    if (device !== place.device) device.close();
  }
}

function reportOf({ place, sizes, plan, dryRun }: Job, { image, kept }: Steps): object {
  const { blockSize, before } = sizes;
  const describe = (blocks: number): object => ({ blocks, size: blocks * blockSize });
  return {
    fileSystem: place.name,
    blockSize,
    before: describe(before),
    after: describe(plan?.blockCount ?? before),
    ...(image !== undefined && { imageSize: image }),
    ...(kept !== undefined && { imageKeepsItsLength: kept }),
    ...(place.partition !== undefined && {
      partition: { number: place.partition.number, size: place.partition.size },
    }),
    written: plan !== undefined && !dryRun,
  };
}
