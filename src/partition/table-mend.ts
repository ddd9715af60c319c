import type { RandomSource } from '../bytes/uuid.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { ShadowDevice } from '../device/shadow-device.ts';
import { CorruptImageError } from '../errors.ts';
import { gptMend } from './gpt-mend.ts';
import { mbrMend } from './mbr-mend.ts';
import { type FieldChange, fieldChanges } from './mend-change.ts';
import { checkTable } from './table-check.ts';
import type { TableFinding } from './table-finding.ts';
import { readTable } from './table.ts';

/** One structure that a mend writes anew. */
export interface MendStep {
  readonly structure: string;
  /** How its bytes are laid out. */
  readonly layout: 'boot record' | 'boot sector' | 'GPT header' | 'GPT entries';
  /** Bytes, from the start of the device. */
  readonly offset: number;
  readonly after: Uint8Array;
  /** Bytes of an entry, where these are GPT entries. */
  readonly entrySize?: number;
}

/** What a rule makes of a finding. */
export interface MendIdea {
  /** What is done, in the imperative, in lower case: `write the primary header anew from the backup`. */
  readonly title: string;
  readonly steps: readonly MendStep[];
}

/** A step with what is there now. */
export interface MendWrite extends MendStep {
  readonly before: Uint8Array;
  readonly changes: readonly FieldChange[];
}

/** One fault that can be mended, and every byte that mending it writes. */
export interface TableMend {
  /** The same for the same fault in another plan. */
  readonly key: string;
  readonly title: string;
  /** What is no longer found once this is done. */
  readonly findings: readonly TableFinding[];
  /** In the order in which they are written: what is read first comes last. */
  readonly writes: readonly MendWrite[];
}

export interface MendPlan {
  readonly mends: readonly TableMend[];
  /** What is left when all of them are done. */
  readonly left: readonly TableFinding[];
}

export interface MendPlanOptions {
  /** For GUIDs. */
  readonly random: RandomSource;
  /** Keys of mends that are not wanted. */
  readonly without?: ReadonlySet<string>;
}

/** Faults of one table at most; a plan that is longer helps nobody. */
const MAX_MENDS = 256;

/**
 * What would mend the table of this device, one fault after another, each on top of those before it. A mend is offered where what belongs there
 * follows from the rest of the table; of two partitions that overlap nobody can say which is right. Nothing is written.
 */
export function planMends(device: BlockDevice, options: MendPlanOptions): MendPlan {
  const shadow = new ShadowDevice(device);
  const mends: TableMend[] = [];
  const tried = new Set(options.without);
  let findings = checkTable(shadow);
  for (;;) {
    const next = nextMend(shadow, findings, tried, options.random);
    if (next === undefined || mends.length >= MAX_MENDS) return { mends, left: findings };
    const { key, idea } = next;
    tried.add(key);
    const writes = idea.steps.flatMap((step) => writeOf(shadow, step) ?? []);
    if (writes.length === 0) continue;
    for (const { offset, after } of writes) shadow.write(offset, after);
    const remaining = checkTable(shadow);
    const still = new Set(remaining.map(keyOf));
    const gone = findings.filter((finding) => !still.has(keyOf(finding)));
    mends.push({ key, title: idea.title, findings: gone, writes });
    findings = remaining;
  }
}

/** Writes what the mends say, each durable before the next. CorruptImageError when the device is not as it was when they were planned. */
export function applyMends(device: BlockDevice, mends: readonly TableMend[]): void {
  const shadow = new ShadowDevice(device);
  for (const { offset, before, after, structure } of mends.flatMap(({ writes }) => writes)) {
    if (!same(readBytes(shadow, offset, before.length), before)) {
      throw new CorruptImageError({
        structure,
        field: 'content',
        offset,
        found: 'changed since it was looked at',
        expected: 'what was there then; nothing was written',
      });
    }
    shadow.write(offset, after);
  }
  for (const { writes } of mends) {
    for (const { offset, after } of writes) device.write(offset, after);
    device.flush();
  }
}

function nextMend(
  device: BlockDevice,
  findings: readonly TableFinding[],
  tried: ReadonlySet<string>,
  random: RandomSource,
): { readonly key: string; readonly idea: MendIdea } | undefined {
  const table = readTable(device);
  for (const finding of findings) {
    const key = keyOf(finding);
    if (tried.has(key) || isEvidence(finding, findings)) continue;
    const idea =
      gptMend(device, table, finding, random) ??
      (table?.kind === 'mbr' ? mbrMend(device, table, finding) : undefined);
    if (idea !== undefined) return { key, idea };
  }
  return undefined;
}

/** C/H/S beside sector numbers that are themselves in question may be what is right of the two. */
function isEvidence(finding: TableFinding, findings: readonly TableFinding[]): boolean {
  const doubtful = new Set(['overlap', 'past-end', 'covers-table', 'outside-extended', 'chain-link']);
  return (
    finding.fault === 'chs' &&
    findings.some(({ fault, partition }) => doubtful.has(fault) && partition === finding.partition)
  );
}

function keyOf({ fault, structure, field, offset }: TableFinding): string {
  return `${fault} ${structure} ${field} ${offset ?? ''}`;
}

/** Undefined where all is as it should be. */
function writeOf(device: BlockDevice, step: MendStep): MendWrite | undefined {
  const before = readBytes(device, step.offset, step.after.length);
  if (same(before, step.after)) return undefined;
  return { ...step, before, changes: fieldChanges(step, before) };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
