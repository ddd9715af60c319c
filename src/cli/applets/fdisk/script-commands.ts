import fs from 'node:fs';
import path from 'node:path';
import { FsError, hasCode } from '../../../errors.ts';
import type { PartitionTemplate } from '../../../partition/partition-template.ts';
import { addPartition, applyHeaders } from '../partition-script/apply.ts';
import { ScriptReader } from '../partition-script/reader.ts';
import { dumpScript } from '../partition-script/writer.ts';
import { wantsDisklabel } from './bsd-commands.ts';
import type { Context } from './dialog-context.ts';
import type { Dialog } from './dialog.ts';
import type { Disk } from './disk.ts';

/** Thrown where what a script asks for cannot be done: the table is read again. */
export class ScriptFailure extends Error {
  override readonly name = 'ScriptFailure';
}

const OPEN_FAILURES = ['ENOENT', 'EACCES', 'ENOTDIR', 'EISDIR', 'EROFS', 'ENAMETOOLONG', 'ELOOP'] as const;

/** `O`. */
export function saveScript({ io, disk, dialog }: Context): void {
  const file = dialog.ask('\nEnter script file name: ');
  const problem = attempt(() => fs.writeFileSync(place(io.cwd, file), dumpScript(disk)));
  if (problem === undefined) dialog.info('Script successfully saved.');
  else dialog.warn(`Cannot open ${file}: ${problem}`);
}

/** `I`. ScriptFailure where the script is one and cannot be applied. */
export function loadScript({ io, disk, dialog }: Context): void {
  const file = dialog.ask('\nEnter script file name: ');
  let text = '';
  const problem = attempt(() => {
    text = fs.readFileSync(place(io.cwd, file), 'utf8');
  });
  const script = problem === undefined ? parse(text, disk.sectorSize) : undefined;
  const kind = script?.headers.get('label');
  // Inside of a table there is but one kind.
  const fits = disk.parent === undefined || kind === undefined || kind === disk.label?.kind;
  if (script === undefined || !fits) {
    dialog.warn(`Cannot open ${file}: ${problem ?? new FsError('EINVAL').text}`);
    return;
  }
  try {
    // The tool makes no table where the script does not say which.
    if (kind === undefined) throw new FsError('EINVAL');
    if (kind === 'bsd') createDisklabel(disk, dialog, script.headers);
    else applyHeaders(disk, script.headers, dialog);
    for (const template of script.templates) addPartition(disk, template, dialog);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    dialog.warn(`Failed to apply script ${file}`);
    throw new ScriptFailure();
  }
  dialog.info('Script successfully applied.');
}

/** On the whole disk, or anew in its slice. */
function createDisklabel(disk: Disk, dialog: Dialog, headers: ReadonlyMap<string, string>): void {
  if (!wantsDisklabel(disk, dialog)) throw new FsError('EINVAL');
  disk.createBsd(disk.parent === undefined ? undefined : disk.bsd?.slice);
  // Its table has one length.
  if (headers.has('table-length')) throw new FsError('EINVAL');
}

function place(folder: string, file: string): string {
  // An empty name is no name, not the folder.
  return file === '' ? '' : path.resolve(folder, file);
}

/** strerror(3)'s text where a file cannot be opened. */
function attempt(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    const code = OPEN_FAILURES.find((each) => hasCode(error, each));
    if (code === undefined) throw error;
    return new FsError(code).text;
  }
}

function parse(
  text: string,
  sectorSize: number,
): { headers: ReadonlyMap<string, string>; templates: readonly PartitionTemplate[] } | undefined {
  const reader = new ScriptReader(sectorSize);
  const templates: PartitionTemplate[] = [];
  for (const line of text.split('\n')) {
    const found = reader.read(line);
    if (found.kind === 'error' || found.kind === 'unknown header') return undefined;
    if (found.kind === 'partition') templates.push(found.template);
  }
  return { headers: reader.headers, templates };
}
