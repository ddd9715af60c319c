import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { FileDevice } from '../../src/host/file-device.ts';
import { isFault, readHeader } from '../../src/partition/gpt-header.ts';
import { gptTypeName } from '../../src/partition/gpt-type.ts';
import { type GptTable, readGpt } from '../../src/partition/gpt.ts';
import type { Typist } from './fdisk-typist.ts';
import { spawnSync } from './programs.ts';
import { userloop } from './run.ts';
import { firstSparseDifference } from './sparse-files.ts';
import { findTool } from './tools.ts';

export interface FdiskSession {
  readonly keys: string;
  /** Who types instead: what he typed into ours is typed into the other. */
  readonly typist?: Typist;
  readonly args?: readonly string[];
  /** Arguments of the reference tool where they are not the same. */
  readonly referenceArgs?: readonly string[];
  /** Bytes. */
  readonly size: number;
  /** Text of the file `script`. */
  readonly script?: string;
}

export interface FdiskOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A session in which util-linux 2.38.1 fails: it ends by an assertion, counts below zero, leaves the image, or lets partitions overlap. */
export function referenceFailed({ status, stdout, stderr }: FdiskOutcome): boolean {
  return status >= 128 || /\d{15}|16 EiB/.test(stdout) || /overlaps partition|not entirely in/.test(stderr);
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
    for (const file of ['script', 'folder'])
      fs.rmSync(path.join(each, file), { recursive: true, force: true });
    fs.mkdirSync(path.join(each, 'folder'));
    if (session.script !== undefined) fs.writeFileSync(path.join(each, 'script'), session.script);
    fs.rmSync(image, { force: true });
    fs.writeFileSync(image, '');
    fs.truncateSync(image, session.size);
  }
  const args = session.args ?? [];
  const { typist } = session;
  const ours = await userloop(['fdisk', ...args, 'disk.img'], {
    cwd: folders[0],
    stdin: typist === undefined ? session.keys : (output) => typist.answer(output),
  });
  const reference = spawnSync(findTool('fdisk')!, [...(session.referenceArgs ?? args), 'disk.img'], {
    argv0: 'fdisk',
    cwd: folders[1],
    input: typist?.keys ?? session.keys,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  const images = folders.map((each) => path.join(each, 'disk.img')) as [string, string];
  adoptIdentifiers(...images);
  if (args.includes('4096')) blankLeaks(...images);
  return {
    ours: masked(ours.status, ours.stdout, ours.stderr),
    reference: masked(reference.status ?? 128, reference.stdout, reference.stderr),
    difference: firstSparseDifference(...images),
  };
}

/** The identifiers of a new table are random: ours get the other's, so that everything else can be compared. */
export function adoptIdentifiers(ours: string, reference: string): void {
  const sectorSize = adoptGuids(ours, reference);
  // A GPT's MBR has no identifier of its own.
  if (sectorSize === undefined) adoptDiskSignature(ours, reference);
}

/**
 * Gives our GPT the GUIDs of the other where both have one, and the CRCs that follow, after a look whether our own CRCs were right where the
 * other's are.
 * Returns the size of its sectors, undefined where there is no GPT.
 */
function adoptGuids(ours: string, reference: string): number | undefined {
  const [a, b] = [FileDevice.open(ours), FileDevice.open(reference, { readOnly: true })];
  try {
    const [mine, theirs] = [readGpt(a), readGpt(b)];
    if (mine === undefined || theirs === undefined) return undefined;
    const crcs = ({ findings }: GptTable): string[] =>
      findings.filter(({ field }) => field.includes('CRC')).map(({ field }) => field);
    expect(crcs(mine)).toEqual(crcs(theirs));
    const { sectorSize } = mine;
    const last = Math.floor(a.size / sectorSize) - 1;
    for (const lba of [1, last]) {
      const [from, to] = [readHeader(b, lba, sectorSize), readHeader(a, lba, sectorSize)];
      if (isFault(from) || isFault(to)) continue;
      to.header.bytes.set(from.header.bytes.subarray(56, 72), 56);
      for (let at = 0; at < Math.min(to.entries.length, from.entries.length); at += 128) {
        const isUsed = to.entries.subarray(at + 16, at + 32).some((byte) => byte !== 0);
        if (isUsed) to.entries.set(from.entries.subarray(at + 16, at + 32), at + 16);
      }
      to.header.seal(to.entries);
      a.write(lba * sectorSize, to.header.bytes);
      a.write(to.header.tableLba * sectorSize, to.entries);
    }
    return sectorSize;
  } finally {
    a.close();
    b.close();
  }
}

/**
 * With sectors of 4096 bytes util-linux takes an empty boot record from a buffer of 512 bytes and writes whatever lies behind it in memory; ours is
 * zero there. Blanks that in the other's image.
 */
function blankLeaks(ours: string, reference: string): void {
  for (let count = 0; count < 64; count++) {
    const place = /^differ at byte (\d+): 0x0 /.exec(firstSparseDifference(ours, reference) ?? '')?.[1];
    const offset = Number(place ?? 0);
    if (offset < 4096 || offset % 4096 < 512) return;
    const fd = fs.openSync(reference, 'r+');
    const start = offset - (offset % 4096) + 512;
    fs.writeSync(fd, new Uint8Array(4096 - 512), 0, 4096 - 512, start);
    fs.closeSync(fd);
  }
}

function adoptDiskSignature(ours: string, reference: string): void {
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

export function masked(status: number, stdout: string, stderr: string): FdiskOutcome {
  const mask = (text: string): string =>
    text
      .replaceAll(/0x[0-9a-f]{8}/g, '0x????????')
      .replaceAll(/[\dA-F]{8}(?:-[\dA-F]{4}){3}-[\dA-F]{12}/g, (guid) =>
        gptTypeName(guid) === 'unknown' ? 'some-guid' : guid,
      );
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

/** Keystrokes for a GPT, in the main and in the expert menu, half of them followed by answers that fit. */
export function randomGptKeys(seed: number, sectorCount: number): string {
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
  const part = (): string => pick(['', '', '1', '2', '3', '5']);
  let keys = 'g\n';
  let expert = false;
  for (let count = 4 + below(14); count > 0; count--) {
    if (below(6) === 0) {
      keys += expert ? 'r\n' : 'x\n';
      expert = !expert;
    }
    const command = pick(expert ? 'nnuilABRSfpvmMcdz'.split('') : 'nnnnnnnnddtttpvFilmMzauco'.split(''));
    if (command === 'o' && below(4) > 0) continue;
    if (expert) {
      if (command === 'n') keys += `n\n${part()}\nname ${seed}\n`;
      else if (command === 'u' || command === 'i') {
        keys += `${command}\n${command === 'u' ? `${part()}\n` : ''}${pick(['bad', '11111111-2222-3333-4444-555555555555'])}\n`;
      } else if (command === 'l') keys += `l\n${pick(['', '64', '128', '256', '4096', '0', '100'])}\n`;
      else if (command === 'S') keys += `S\n${part()}\n${pick(['', '50', '63', '64'])}\n`;
      else if ('ABR'.includes(command)) keys += `${command}\n${part()}\n`;
      else keys += `${command}\n`;
    } else if (command === 'n') keys += `n\n${part()}\n${sector()}\n${last()}\n`;
    else if (command === 'd' || command === 'i') keys += `${command}\n${part()}\n`;
    else if (command === 't')
      keys += `t\n${part()}\n${pick(['1', '19', '200', '201', 'lvm', 'uefi', 'nonsense'])}\n`;
    else keys += `${command}\n`;
  }
  return `${keys}${expert ? 'r\n' : ''}p\nv\nF\nx\np\nr\nw\n`;
}
