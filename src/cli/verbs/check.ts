import {
  automaticChoice,
  checkVolume,
  type CheckedType,
  type ReportedFinding,
  type VolumeReport,
} from '../../disk/check-volume.ts';
import { DiskImage } from '../../disk/disk-image.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { isOwnError, UnsupportedError, UsageError } from '../../errors.ts';
import { type CheckFinding, LEAVE } from '../../filesystem/check.ts';
import { defineApplet } from '../applet.ts';
import { applyStaged, checkUndoFile, restore } from '../check/apply.ts';
import { getopt, type ParsedArguments } from '../getopt.ts';
import { type ImageReference, parseImageReference } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { requireIdle } from '../idle-volume.ts';
import { openDevice } from '../open-device.ts';
import { printable, reasonOf } from './failure.ts';
import { checkOperands } from './operand.ts';
import { print, printJson } from './print.ts';

/** fsck(8): the sum of these. */
const Status = { mended: 1, left: 4, failed: 8, usage: 16 } as const;

/** `userloop check`: is a file system whole, and what can be done if not. */
export const check = defineApplet({
  name: 'check',
  kind: 'verb',
  summary: 'find and mend what is wrong with a file system',
  usage: [
    'userloop check [OPTION]... IMAGE[:N|@OFFSET]...',
    'userloop check --restore FILE IMAGE[:N|@OFFSET]',
  ],
  description: [
    'Reads the whole structure of a file system and tells what is wrong with it: where, what was found, what was expected, and what it means. Without an option that repairs, nothing is written; on a terminal, you are asked then whether the plan that is shown is to be carried out.',
    'A repair is planned as a whole before the first write. With --undo, what is overwritten is kept in a file; --restore puts it back as long as nothing else has changed the file system. The file is one that e2undo(8) knows, too.',
  ],
  options: [
    { short: 'n', long: 'no', description: 'only tell, never ask' },
    { short: 'p', description: 'mend what can be mended without giving up data' },
    { short: 'y', long: 'yes', description: 'mend everything that can be mended' },
    {
      long: 'undo',
      argument: 'required',
      argumentName: 'FILE',
      description: 'keep what is overwritten in the new file FILE',
    },
    {
      long: 'restore',
      argument: 'required',
      argumentName: 'FILE',
      description: 'put back what --undo has kept in FILE',
    },
    {
      long: 'type',
      argument: 'required',
      argumentName: 'TYPE',
      description: 'fat or ext: do not go by what the start looks like',
    },
    { long: 'json', description: 'as an array of objects' },
  ],
  examples: [
    { command: 'userloop check disk.img:1', explanation: 'tells what is wrong with partition 1' },
    {
      command: 'userloop check -y --undo before.undo floppy.img',
      explanation: 'mends everything, and keeps what was there',
    },
    {
      command: 'userloop check --restore before.undo floppy.img',
      explanation: 'makes it what it was before that',
    },
  ],
  exitStatus: {
    0: 'nothing is wrong',
    1: 'what was wrong is mended',
    4: 'something is wrong and was left so',
    8: 'the check could not be done',
    16: 'wrong usage',
  },
  run(io, argv) {
    try {
      return run(io, getopt(argv, check.options));
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(error.message, Status.usage);
      throw error;
    }
  },
});

type Manner = 'tell' | 'ask' | 'safe' | 'all';

interface Job {
  readonly manner: Manner;
  readonly type: CheckedType | undefined;
  readonly undoFile: string | undefined;
  readonly restoreFile: string | undefined;
  readonly json: boolean;
}

function run(io: Io, args: ParsedArguments): number {
  checkOperands(args.operands, 1);
  const job = readJob(io, args);
  if ((job.undoFile ?? job.restoreFile) !== undefined && args.operands.length > 1)
    throw new UsageError('--undo and --restore go with one image');
  let status = 0;
  const reports: object[] = [];
  for (const text of args.operands) {
    try {
      status |= checkOne(io, text, job, reports);
    } catch (error) {
      if (!isOwnError(error) && !(error instanceof Error && 'syscall' in error)) throw error;
      io.stderr.write(`userloop check: cannot check '${printable(text)}': ${printable(reasonOf(error))}\n`);
      status |= Status.failed;
    }
  }
  if (job.json) printJson(io, reports);
  return status;
}

function readJob(io: Io, args: ParsedArguments): Job {
  const given = ['n', 'p', 'y', 'restore'].filter((name) => args.has(name));
  if (given.length > 1) throw new UsageError(`only one of -n, -p, -y and --restore can be given`);
  const type = args.value('type');
  if (type !== undefined && type !== 'fat' && type !== 'ext')
    throw new UsageError(`"${type}" is not a type, expected fat or ext`);
  const json = args.has('json');
  const canAsk = io.stdin.isTerminal && io.stdout.isTerminal && !json;
  const manner: Manner = args.has('p')
    ? 'safe'
    : args.has('y')
      ? 'all'
      : canAsk && !args.has('n')
        ? 'ask'
        : 'tell';
  const undoFile = args.value('undo');
  if (undoFile !== undefined && manner === 'tell')
    throw new UsageError('--undo goes with -p or -y: without them nothing is written');
  checkUndoFile(io, undoFile);
  return { manner, type, undoFile, restoreFile: args.value('restore'), json };
}

function checkOne(io: Io, text: string, job: Job, reports: object[]): number {
  const reference = parseImageReference(io, text);
  if (reference.path !== undefined) throw new UsageError(`"${text}" names a file; check takes a file system`);
  const writes = job.manner === 'safe' || job.manner === 'all' || job.restoreFile !== undefined;
  const whole = openDevice(io, reference.image, { readOnly: !writes });
  try {
    const device = volumeOf(whole, reference);
    if (writes || job.manner === 'ask') requireIdle(io, 'userloop', text, device);
    if (job.restoreFile !== undefined) {
      const count = restore(io, job.restoreFile, device);
      print(io, `${printable(text)}: put back ${count} bytes\n`);
      return 0;
    }
    const report = checkVolume(device, {
      ...(job.type !== undefined && { type: job.type }),
      decide: job.manner === 'safe' ? safeChoice : job.manner === 'tell' ? automaticChoice : anyChoice,
    });
    if (job.json) reports.push(jsonOf(text, job, report));
    else tell(io, text, job, report);
    return carryOut(io, text, job, reference, device, report);
  } finally {
    whole.close();
  }
}

function safeChoice(finding: CheckFinding): number {
  return finding.mend?.safe === true ? finding.mend.automatic : LEAVE;
}

/** The automatic choice, or the first where the reference tool would rather leave it. */
function anyChoice(finding: CheckFinding): number {
  const { mend } = finding;
  if (mend === undefined) return LEAVE;
  const chosen = mend.choices[mend.automatic];
  return chosen === undefined || chosen.action === '' ? 0 : mend.automatic;
}

function carryOut(
  io: Io,
  text: string,
  job: Job,
  reference: ImageReference,
  device: BlockDevice,
  report: VolumeReport,
): number {
  const { counts } = report;
  const wrong = counts.warning + counts.damage + counts.fatal > 0;
  if (job.manner === 'tell') return wrong ? Status.left : 0;
  if (report.mendCount === 0) return report.leftCount > 0 ? Status.left : 0;
  if (report.journal === 'shown' || report.journal === 'unusable') {
    throw new UnsupportedError(
      'the journal has to be replayed before a repair: mount the file system for writing once',
      ['repair of a file system whose journal is not replayed'],
    );
  }
  if (job.manner === 'ask') {
    io.stdout.write('Carry it out? [y/N] ');
    if (!/^y(es)?$/i.test(io.stdin.readLine() ?? '')) return Status.left;
    // It was opened for reading, so that a check alone never needs more.
    const writable = openDevice(io, reference.image);
    try {
      applyStaged(io, volumeOf(writable, reference), report.staged, job.undoFile);
    } finally {
      writable.close();
    }
  } else applyStaged(io, device, report.staged, job.undoFile);
  if (!job.json) print(io, `${printable(text)}: mended\n`);
  return report.leftCount > 0 ? Status.left | Status.mended : Status.mended;
}

function volumeOf(whole: BlockDevice, reference: ImageReference): BlockDevice {
  if (reference.partition === undefined && reference.offset === undefined) return whole;
  const disk = DiskImage.open(whole, { readOnly: true });
  return reference.offset === undefined ? disk.volume(reference.partition) : disk.volumeAt(reference.offset);
}

function tell(io: Io, text: string, job: Job, report: VolumeReport): void {
  const lines: string[] = [];
  if (report.journal === 'shown') lines.push(`${text}: the journal was replayed in memory for this check`);
  if (report.journal === 'unusable' || report.journal === 'dropped')
    lines.push(`${text}: the journal cannot be replayed; what follows is about the state without it`);
  for (const finding of report.findings) lines.push(...describe(finding, job.manner));
  const total = Object.values(report.counts).reduce((sum, count) => sum + count, 0);
  if (total > report.findings.length) lines.push(`and ${total - report.findings.length} more`);
  if (report.summary !== undefined) lines.push(`${text}: ${report.summary}`);
  lines.push(`${text}: ${verdict(report)}`);
  if (job.manner !== 'tell' && report.mendCount > 0) {
    const ranges = report.staged.changes();
    const bytes = ranges.reduce((sum, { length }) => sum + length, 0);
    lines.push(`${text}: the plan writes ${bytes} bytes in ${ranges.length} places`);
  }
  print(io, `${lines.map(printable).join('\n')}\n`);
}

function describe(finding: ReportedFinding, manner: Manner): string[] {
  const { severity, meaning, structure, field, offset, found, expected, action, mend } = finding;
  const where = offset === undefined ? '' : ` at byte ${offset}`;
  const lines = [
    `${severity}: ${meaning}`,
    `  ${structure} ${field}${where}: ${found}, expected ${expected}`,
  ];
  if (action !== undefined) {
    const loss = mend?.safe === false ? ' (gives up data)' : '';
    lines.push(`  ${manner === 'tell' ? 'mend' : 'plan'}: ${action}${loss}`);
  } else if (severity !== 'note') lines.push('  left as it is');
  return lines;
}

function verdict({ counts, mendCount }: VolumeReport): string {
  if (counts.fatal > 0) return 'cannot be checked further';
  if (counts.warning + counts.damage === 0)
    return counts.note === 0 ? 'nothing is wrong' : `nothing is wrong, ${counted(counts.note, 'note')}`;
  const parts = [
    counts.damage > 0 ? counted(counts.damage, 'damage') : '',
    counts.warning > 0 ? counted(counts.warning, 'warning') : '',
    counts.note > 0 ? counted(counts.note, 'note') : '',
  ];
  return `${parts.filter((part) => part !== '').join(', ')}; ${mendCount} can be mended`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function jsonOf(text: string, job: Job, report: VolumeReport): object {
  return {
    image: text,
    type: report.type,
    clean: report.counts.warning + report.counts.damage + report.counts.fatal === 0,
    journal: report.journal,
    summary: report.summary,
    counts: report.counts,
    findings: report.findings.map((finding) => ({
      ...finding,
      toolText: undefined,
      toolErrorText: undefined,
      mend: undefined,
      ...(finding.mend !== undefined && { losesData: !finding.mend.safe }),
    })),
    ...(job.manner !== 'tell' && { writes: report.staged.changes() }),
  };
}
