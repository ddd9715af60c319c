import { readMountTable } from '../../../host/mount-table.ts';
import type { MountContext } from './context.ts';
import { entryIsForUser, entryJob } from './fstab-mount.ts';
import type { FstabEntry } from './fstab.ts';
import type { FstabLookup } from './fstab-lookup.ts';
import { devicesOf } from './loop-setup.ts';
import { MountExit, MountFailure, failureText } from './mount-failure.ts';
import { mountOne } from './mount-one.ts';
import { type MountOption } from './option-list.ts';
import { matchesOptionPattern } from './option-pattern.ts';
import { matchesTypeList } from './type-list.ts';

export interface MountAllOptions {
  readonly types: string | undefined;
  readonly optionPattern: string | undefined;
  readonly options: readonly MountOption[];
}

/** Column in which `mount -av` tells the outcome. */
const OUTCOME_COLUMN = 25;

/** What fstab lists, but for `noauto`, other types or options, and what is there already. Returns the exit status. */
export async function mountAll(
  context: MountContext,
  fstab: FstabLookup,
  options: MountAllOptions,
): Promise<number> {
  let succeeded = 0;
  let failed = 0;
  for (const entry of fstab.entries) {
    const outcome = skipReason(context, entry, options) ?? (await attempt(context, entry, options));
    if (outcome === 'failed') failed++;
    else {
      if (outcome === 'successfully mounted') succeeded++;
      if (context.verbose) context.io.stdout.write(`${entry.target.padEnd(OUTCOME_COLUMN)}: ${outcome}\n`);
    }
  }
  if (failed === 0) return MountExit.success;
  return succeeded > 0 ? MountExit.someSucceeded : MountExit.failed;
}

type Outcome = 'ignored' | 'already mounted' | 'successfully mounted' | 'failed';

function skipReason(context: MountContext, entry: FstabEntry, options: MountAllOptions): Outcome | undefined {
  const job = entryJob(entry, { options: [], types: undefined });
  if (job.wishes.noAuto || entry.type === 'swap' || entry.target === 'none' || entry.target === 'swap')
    return 'ignored';
  if (options.types !== undefined && !matchesTypeList(entry.type, options.types)) return 'ignored';
  if (options.optionPattern !== undefined && !matchesOptionPattern(entry.options, options.optionPattern))
    return 'ignored';
  if (!context.isSuperuser && !entryIsForUser(entry)) return 'ignored';
  return isMounted(context, entry) ? 'already mounted' : undefined;
}

function isMounted(context: MountContext, entry: FstabEntry): boolean {
  const target = context.canonical(entry.target);
  const mounted = readMountTable().filter(({ directory }) => directory === target);
  if (mounted.length === 0) return false;
  const source = entry.source.startsWith('/') ? context.canonical(entry.source) : entry.source;
  const devices = devicesOf(context, source);
  return (
    mounted.some((each) => each.source === source) ||
    devices.some(({ mounts }) => mounts.some(({ directory }) => directory === target)) ||
    // `/` and what is mounted by LABEL= or UUID=: the directory alone decides.
    !entry.source.startsWith('/')
  );
}

async function attempt(context: MountContext, entry: FstabEntry, options: MountAllOptions): Promise<Outcome> {
  try {
    const job = entryJob(entry, { options: options.options, types: undefined });
    await mountOne(context.quiet(), job);
    return 'successfully mounted';
  } catch (error) {
    if (!(error instanceof MountFailure)) throw error;
    if (
      entry.options.some(({ name }) => name === 'nofail') &&
      /does not exist|can't find|failed to setup/.test(error.message)
    )
      return 'ignored';
    context.io.stderr.write(failureText(context.program, error));
    return 'failed';
  }
}
