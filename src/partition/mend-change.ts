import { type Chs } from '../bytes/chs.ts';
import { isZero } from '../bytes/is-zero.ts';
import { type Field, viewOf } from '../bytes/struct.ts';
import { GPT_SIGNATURE, GptEntry, GptHeader, decodeName } from './gpt-header.ts';
import { gptTypeName } from './gpt-type.ts';
import { formatGuid } from './guid.ts';
import { VolumePlace } from './hidden-sectors.ts';
import { BootRecord, PartitionEntry, entryOffset, readEntry } from './mbr-entry.ts';
import { partitionTypeName } from './mbr-type.ts';
import type { MendStep } from './table-mend.ts';

/** One field before and after, in words. */
export interface FieldChange {
  readonly field: string;
  /** Bytes, from the start of the device. */
  readonly offset: number;
  readonly before: string;
  readonly after: string;
}

/** Which fields of the structure the step changes. */
export function fieldChanges(step: MendStep, before: Uint8Array): FieldChange[] {
  switch (step.layout) {
    case 'GPT header':
      return changesIn(GptHeader.$fields, step, before);
    case 'boot sector':
      return changesIn({ BPB_HiddSec: VolumePlace.BPB_HiddSec }, step, before);
    case 'boot record':
      return bootRecordChanges(step, before);
    case 'GPT entries':
      return entryChanges(step, before);
  }
}

function changesIn(
  fields: Readonly<Record<string, Field<unknown>>>,
  { offset, after }: MendStep,
  before: Uint8Array,
  base = 0,
): FieldChange[] {
  const [old, now] = [viewOf(before), viewOf(after)];
  return Object.entries(fields).flatMap(([name, field]) => {
    const at = base + field.offset;
    if (!differ(before, after, at, field.length)) return [];
    return {
      field: name,
      offset: offset + at,
      before: textOf(name, field.get(old, base)),
      after: textOf(name, field.get(now, base)),
    };
  });
}

function bootRecordChanges(step: MendStep, before: Uint8Array): FieldChange[] {
  const { diskSignature, signature } = BootRecord;
  const changes = changesIn({ diskSignature }, step, before);
  for (let index = 0; index < 4; index++) {
    const base = entryOffset(index);
    const fields = changesIn(PartitionEntry.$fields, step, before, base);
    // What appears or goes is told as a whole.
    const [old, now] = [before, step.after].map((record) => describeEntry(record, index));
    if (fields.length > 2 && old !== now) {
      changes.push({ field: `entry ${index + 1}`, offset: step.offset + base, before: old!, after: now! });
    } else {
      changes.push(...fields.map((change) => ({ ...change, field: `entry ${index + 1} ${change.field}` })));
    }
  }
  return [...changes, ...changesIn({ signature }, step, before)];
}

function describeEntry(record: Uint8Array, index: number): string {
  if (isZero(record.subarray(entryOffset(index), entryOffset(index) + 16))) return 'unused';
  const { type, startSector, sectorCount } = readEntry(viewOf(record), index);
  return `type 0x${type.toString(16).padStart(2, '0')} (${partitionTypeName(type)}), ${sectorCount} sectors from ${startSector}`;
}

function entryChanges(
  { offset, after, entrySize = GptEntry.$size }: MendStep,
  before: Uint8Array,
): FieldChange[] {
  const changes: FieldChange[] = [];
  for (let base = 0; base < after.length; base += entrySize) {
    if (!differ(before, after, base, entrySize)) continue;
    changes.push({
      field: `entry ${base / entrySize + 1}`,
      offset: offset + base,
      before: describeGptEntry(before, base),
      after: describeGptEntry(after, base),
    });
  }
  return changes;
}

function describeGptEntry(entries: Uint8Array, base: number): string {
  const view = viewOf(entries);
  const type = GptEntry.PartitionTypeGUID.get(view, base);
  if (isZero(type)) return 'unused';
  const [first, last] = [GptEntry.StartingLBA.get(view, base), GptEntry.EndingLBA.get(view, base)];
  const name = decodeName(GptEntry.PartitionName.get(view, base));
  const guid = formatGuid(GptEntry.UniquePartitionGUID.get(view, base));
  return `${gptTypeName(formatGuid(type))}${name === '' ? '' : ` "${name}"`}, sectors ${first} to ${last}, ${guid}`;
}

function differ(before: Uint8Array, after: Uint8Array, offset: number, length: number): boolean {
  for (let at = offset; at < offset + length; at++) if (before[at] !== after[at]) return true;
  return false;
}

function textOf(name: string, value: unknown): string {
  if (value instanceof Uint8Array) return formatGuid(value);
  if (typeof value === 'bigint') {
    return value === GPT_SIGNATURE ? '"EFI PART"' : `0x${value.toString(16).padStart(16, '0')}`;
  }
  if (typeof value !== 'number') {
    const { cylinder, head, sector } = value as Chs;
    return `${cylinder}/${head}/${sector}`;
  }
  if (name.includes('CRC32') || name === 'diskSignature') return `0x${value.toString(16).padStart(8, '0')}`;
  if (name === 'signature' || name === 'Revision') return `0x${value.toString(16).padStart(4, '0')}`;
  if (name === 'bootIndicator' || name === 'systemId') return `0x${value.toString(16).padStart(2, '0')}`;
  return `${value}`;
}
