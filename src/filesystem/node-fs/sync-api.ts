import { attributeCalls } from './attribute-calls.ts';
import { contentCalls } from './content-calls.ts';
import type { Context } from './context.ts';
import { directoryCalls } from './directory-calls.ts';
import { nameCalls } from './name-calls.ts';
import { openFileCalls } from './open-file-calls.ts';
import { treeCalls } from './tree-calls.ts';

/** Every call; the callback and the promise variants are derived from the synchronous ones. */
export function allCalls<B extends Uint8Array>(context: Context<B>) {
  const contents = contentCalls(context);
  const directories = directoryCalls(context);
  const names = nameCalls(context);
  const attributes = attributeCalls(context);
  const { cp, ...trees } = treeCalls(context, { ...contents, ...directories, ...names, ...attributes });
  const sync = { ...openFileCalls(context), ...contents, ...directories, ...names, ...attributes, ...trees };
  return { sync, cp };
}

export type SyncApi<B extends Uint8Array> = ReturnType<typeof allCalls<B>>['sync'];

/** The one call that is more than its synchronous variant: its filter may be asynchronous. */
export type CopyTree = ReturnType<typeof allCalls>['cp'];
