import { describeFinding } from '../errors.ts';
import type { MendWrite, TableMend } from '../partition/table-mend.ts';

/** Of a table that is written anew as a whole, this many entries are told one by one. */
const MAX_CHANGES = 24;

/** A mend as lines for people: why, and each field that it writes, before and after. `number` counts from 1. */
export function renderMend(mend: TableMend, number: number): string[] {
  return [
    `Mend ${number}: ${mend.title}`,
    ...mend.findings.map((finding) => `  Because: ${describeFinding(finding)}`),
    ...mend.writes.flatMap(renderWrite),
  ];
}

function renderWrite({ structure, offset, after, changes }: MendWrite): string[] {
  const shown = changes
    .slice(0, MAX_CHANGES)
    .map(({ field, offset: at, before, after: now }) => `    byte ${at}, ${field}: ${before} -> ${now}`);
  const more = changes.length - shown.length;
  return [
    `  Writes: the ${structure}, bytes ${offset} to ${offset + after.length - 1}`,
    ...shown,
    ...(more > 0 ? [`    and ${more} more`] : []),
  ];
}
