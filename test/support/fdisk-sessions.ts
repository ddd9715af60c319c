import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { userloop } from './run.ts';
import { firstSparseDifference } from './sparse-files.ts';
import { findTool } from './tools.ts';

export interface FdiskSession {
  readonly keys: string;
  readonly args?: readonly string[];
  /** Arguments of the reference tool where they are not the same. */
  readonly referenceArgs?: readonly string[];
  /** Bytes. */
  readonly size: number;
}

export interface FdiskOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the same keystrokes through our fdisk and the real one, each on its own image of the same name. */
export async function runBoth(
  folder: string,
  session: FdiskSession,
  options: { readonly keep?: boolean } = {},
): Promise<{ ours: FdiskOutcome; reference: FdiskOutcome; difference: string | undefined }> {
  const folders = [path.join(folder, 'ours'), path.join(folder, 'reference')] as const;
  for (const each of folders) {
    fs.mkdirSync(each, { recursive: true });
    const image = path.join(each, 'disk.img');
    if (options.keep === true) continue;
    fs.rmSync(image, { force: true });
    fs.writeFileSync(image, '');
    fs.truncateSync(image, session.size);
  }
  const args = session.args ?? [];
  const ours = await userloop(['fdisk', ...args, 'disk.img'], { cwd: folders[0], stdin: session.keys });
  const reference = spawnSync(findTool('fdisk')!, [...(session.referenceArgs ?? args), 'disk.img'], {
    argv0: 'fdisk',
    cwd: folders[1],
    input: session.keys,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  const images = folders.map((each) => path.join(each, 'disk.img')) as [string, string];
  adoptIdentifier(...images);
  return {
    ours: masked(ours.status, ours.stdout, ours.stderr),
    reference: masked(reference.status ?? 128, reference.stdout, reference.stderr),
    difference: firstSparseDifference(...images),
  };
}

/** The identifier of a new table is random: ours gets the other's, so that everything else can be compared. */
function adoptIdentifier(ours: string, reference: string): void {
  const identifier = new Uint8Array(4);
  const from = fs.openSync(reference, 'r');
  fs.readSync(from, identifier, 0, 4, 440);
  fs.closeSync(from);
  const to = fs.openSync(ours, 'r+');
  const before = new Uint8Array(4);
  fs.readSync(to, before, 0, 4, 440);
  if (before.some((byte) => byte !== 0)) fs.writeSync(to, identifier, 0, 4, 440);
  fs.closeSync(to);
}

function masked(status: number, stdout: string, stderr: string): FdiskOutcome {
  const mask = (text: string): string => text.replaceAll(/0x[0-9a-f]{8}/g, '0x????????');
  return { status, stdout: mask(stdout), stderr: mask(stderr) };
}

/** Keystrokes that try much and follow the prompts only sometimes. The same seed gives the same ones. */
export function randomKeys(seed: number, sectorCount: number): string {
  let state = seed >>> 0;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const pick = (choices: readonly string[]): string => choices[below(choices.length)]!;
  const sector = (): string =>
    pick(['', '', '', String(below(sectorCount)), String(2048 * below(Math.ceil(sectorCount / 2048)))]);
  const last = (): string =>
    pick(['', '+1M', '+3M', '+10M', '+100', '+1K', '+5MB', '-1M', '-5', '+2.5M', '+700K', sector(), '+z']);
  let keys = '';
  for (let count = 2 + below(12); count > 0; count--) {
    const command = pick([...'nnnnnnndaatpvFicompnzlm'.split(''), '']);
    if (command === 'n') {
      const type = pick(['p', 'p', 'e', 'l', 'l', '']);
      keys += `n\n${type}\n${pick(['', '', '1', '2', '3', '4', sector()])}\n${sector()}\n${last()}\n`;
    } else if (command === 'd' || command === 'i') keys += `${command}\n${pick(['', '', '5', '6'])}\n`;
    else if (command === 't') keys += `t\n\n${pick(['83', 'c', '7', '82', 'lvm', 'ff'])}\n`;
    else keys += `${command}\n`;
  }
  return `${keys}p\nv\nF\nw\n`;
}
