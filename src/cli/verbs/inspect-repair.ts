import fs from 'node:fs';
import path from 'node:path';
import { hexDump } from '../../bytes/hex-dump.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { renderMend } from '../../disk/mend-text.ts';
import { describeFinding } from '../../errors.ts';
import { systemRandom } from '../../host/system.ts';
import type { TableFinding } from '../../partition/table-finding.ts';
import { type MendPlan, type TableMend, applyMends, planMends } from '../../partition/table-mend.ts';
import { refuseInUse } from '../device-use.ts';
import type { ParsedArguments } from '../getopt.ts';
import type { ImageReference } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { openDevice } from '../open-device.ts';
import { Failures, printable } from './failure.ts';
import { print, printJson } from './print.ts';

/**
 * `userloop inspect --repair`: shows what would mend the table, asks, writes. What nobody has seen is not written: when a mend is
 * declined, those that built upon it are shown anew.
 */
export function repairImage(io: Io, { image }: ImageReference, args: ParsedArguments): number {
  const failures = new Failures(io, 'inspect');
  let left: readonly TableFinding[] = [];
  failures.try(`cannot repair '${image}'`, () => {
    const dryRun = args.has('dry-run');
    if (!dryRun) refuseInUse(io, image);
    const device = openDevice(io, image, { readOnly: dryRun });
    try {
      left = repair(io, image, device, args);
    } finally {
      device.close();
    }
  });
  return failures.count > 0 || left.some(isWrong) ? 1 : 0;
}

/** Returns what is wrong with the table afterwards. */
function repair(io: Io, image: string, device: BlockDevice, args: ParsedArguments): readonly TableFinding[] {
  const json = args.has('json');
  const plan = planMends(device, { random: systemRandom });
  if (!json) show(io, image, plan);
  const wanted = args.has('dry-run') ? undefined : args.has('yes') ? plan : ask(io, image, device, plan);
  if (wanted === undefined) {
    if (json) printJson(io, [reportOf(image, plan, false)]);
    else if (plan.mends.length > 0) print(io, 'Nothing was written\n');
    return [...plan.mends.flatMap(({ findings }) => findings), ...plan.left];
  }
  if (wanted.mends.length > 0) {
    const backup = args.value('backup');
    if (backup !== undefined) writeBackup(path.resolve(io.cwd, backup), wanted.mends);
    applyMends(device, wanted.mends);
  }
  if (json) printJson(io, [reportOf(image, wanted, true)]);
  else conclude(io, wanted);
  return wanted.left;
}

/** That an image was made for other sectors is told, and is nothing to mend. */
function isWrong({ fault }: TableFinding): boolean {
  return fault !== 'sector-size';
}

function show(io: Io, image: string, { mends, left }: MendPlan): void {
  const wrong = left.filter(isWrong);
  if (mends.length === 0 && wrong.length === 0) print(io, `${image}: nothing is wrong with the table\n`);
  printLines(
    io,
    mends.flatMap((mend, index) => [...renderMend(mend, index + 1), '']),
  );
  printLines(
    io,
    wrong.flatMap((finding) => [
      `No rule mends: ${describeFinding(finding)}`,
      ...(finding.advice === undefined ? [] : [`  ${finding.advice}`]),
    ]),
  );
}

/** Asks for each mend, until nothing is in the plan that was not seen and agreed to. Undefined at the end of input. */
function ask(io: Io, image: string, device: BlockDevice, first: MendPlan): MendPlan | undefined {
  if (first.mends.length > 0 && !io.stdin.isTerminal) {
    io.stderr.write(
      'userloop inspect: standard input is no terminal; --yes agrees to all, --dry-run to nothing\n',
    );
    return undefined;
  }
  const declined = new Set<string>();
  const agreed = new Set<string>();
  let plan = first;
  for (;;) {
    const declinedBefore = declined.size;
    for (const [index, mend] of plan.mends.entries()) {
      if (agreed.has(fingerprint(mend))) continue;
      print(io, `Mend ${index + 1}: ${printable(mend.title)}? [y/N] `);
      const answer = io.stdin.readLine();
      if (answer === undefined) {
        print(io, '\n');
        return undefined;
      }
      if (/^\s*y(es)?\s*$/i.test(answer)) agreed.add(fingerprint(mend));
      else declined.add(mend.key);
    }
    if (declined.size === declinedBefore) return plan;
    plan = planMends(device, { random: systemRandom, without: declined });
    const unseen = plan.mends.filter((mend) => !agreed.has(fingerprint(mend)));
    if (unseen.length > 0) print(io, '\nWithout what was declined the others are:\n\n');
    if (unseen.length > 0) show(io, image, plan);
  }
}

/** The same for mends that write the same bytes. */
function fingerprint({ key, writes }: TableMend): string {
  return `${key} ${writes.map(({ offset, after }) => hexDump(offset, after)).join('')}`;
}

/** What is written over, each block of 512 bytes once, durable before the image is touched. */
function writeBackup(file: string, mends: readonly TableMend[]): void {
  const blocks = new Map<number, Uint8Array>();
  for (const { offset, before } of mends.flatMap(({ writes }) => writes)) {
    for (let at = 0; at < before.length; at += 512) {
      if (!blocks.has(offset + at)) blocks.set(offset + at, before.subarray(at, at + 512));
    }
  }
  const fd = fs.openSync(file, 'wx');
  try {
    for (const offset of [...blocks.keys()].sort((a, b) => a - b)) {
      fs.writeSync(fd, hexDump(offset, blocks.get(offset)!));
    }
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function conclude(io: Io, { mends, left }: MendPlan): void {
  if (mends.length > 0) print(io, `${mends.length === 1 ? '1 mend' : `${mends.length} mends`} written\n`);
  else if (left.some(isWrong)) print(io, 'Nothing was written\n');
}

function reportOf(image: string, { mends, left }: MendPlan, written: boolean): object {
  const described = (findings: readonly TableFinding[]): object[] =>
    findings.map((finding) => ({ ...finding, text: describeFinding(finding) }));
  return {
    image,
    written,
    mends: mends.map(({ title, findings, writes }) => ({
      title,
      findings: described(findings),
      writes: writes.map(({ structure, offset, after, changes }) => ({
        structure,
        offset,
        size: after.length,
        changes,
      })),
    })),
    left: described(left),
  };
}

function printLines(io: Io, lines: readonly string[]): void {
  for (const line of lines) print(io, `${printable(line)}\n`);
}
