import { isMemberOf } from './account.ts';
import type { MountContext } from './context.ts';
import type { FstabEntry } from './fstab.ts';
import type { FstabLookup } from './fstab-lookup.ts';
import { MountExit, MountFailure } from './mount-failure.ts';
import type { MountJob } from './mount-one.ts';
import { pathStatus } from './path-status.ts';
import { mountWishes } from './mount-wishes.ts';
import type { MountOption } from './option-list.ts';

export interface Named {
  readonly source: string | undefined;
  readonly target: string | undefined;
  /** One or the other. */
  readonly either: string | undefined;
}

/** The entry for what the command line names of it. MountFailure when there is none. */
export function findEntry(fstab: FstabLookup, { source, target, either }: Named): FstabEntry {
  const entry =
    either !== undefined
      ? (fstab.byTarget(either) ?? fstab.bySource(either))
      : target !== undefined
        ? fstab.byTarget(target)
        : fstab.bySource(source ?? '');
  if (entry !== undefined) return entry;
  const reason =
    either !== undefined
      ? `${either}: can't find in ${fstab.file}.`
      : target !== undefined
        ? `${target}: can't find mount point in ${fstab.file}.`
        : `${source}: can't find mount source ${source} in ${fstab.file}.`;
  throw new MountFailure(reason, MountExit.usage);
}

/** The mount of an entry; options of the command line come after its own and override them. */
export function entryJob(
  entry: FstabEntry,
  overrides: { readonly options: readonly MountOption[]; readonly types: string | undefined },
): MountJob {
  return {
    source: entry.source,
    target: entry.target,
    types: overrides.types ?? (entry.type === 'auto' ? undefined : entry.type),
    wishes: mountWishes([...entry.options, ...overrides.options], entry.target),
  };
}

/** Who is not root mounts only what fstab lets everybody mount. */
export function checkUserMay(context: MountContext, job: MountJob, entry: FstabEntry): void {
  if (context.isSuperuser || entryIsForUser(entry)) return;
  throw new MountFailure(`${job.target}: must be superuser to use mount.`, undefined, [
    'For other users the entry needs the option user or users.',
  ]);
}

export function entryIsForUser(entry: FstabEntry): boolean {
  const { users } = mountWishes(entry.options, entry.target);
  if (users === 'user' || users === 'users') return true;
  const status = users === undefined ? undefined : pathStatus(entry.source);
  if (status === undefined) return false;
  return users === 'owner' ? Number(status.uid) === process.geteuid?.() : isMemberOf(Number(status.gid));
}
