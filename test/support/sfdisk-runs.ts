import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { adoptIdentifiers, masked } from './fdisk-sessions.ts';
import { userloop } from './run.ts';
import { firstSparseDifference } from './sparse-files.ts';
import { findTool, type ToolResult } from './tools.ts';

/** One call of sfdisk: `disk.img` in the arguments is the image, which comes last where they do not name it. */
export interface SfdiskCall {
  readonly args?: readonly string[];
  readonly script?: string;
}

export interface SfdiskOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Names and contents of the files that came beside the image: backups and logs. */
  readonly files: Readonly<Record<string, string>>;
}

export interface SfdiskPair {
  readonly ours: SfdiskOutcome;
  readonly reference: SfdiskOutcome;
  /** Of the images; undefined where they are the same. */
  readonly difference: string | undefined;
}

/** Two folders, each with an image of the same name, on which our sfdisk and the real one do the same. */
export class SfdiskPairs {
  readonly ours: string;
  readonly reference: string;

  constructor(folder: string) {
    [this.ours, this.reference] = [path.join(folder, 'ours'), path.join(folder, 'reference')];
    for (const each of this.folders) fs.mkdirSync(each, { recursive: true });
  }

  get folders(): readonly string[] {
    return [this.ours, this.reference];
  }

  get images(): readonly [string, string] {
    return [path.join(this.ours, 'disk.img'), path.join(this.reference, 'disk.img')];
  }

  /** Starts over with images of this many bytes, as `prepare` makes them. */
  reset(size: number, prepare: (image: string) => void = () => {}): void {
    for (const folder of this.folders) {
      for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name), { recursive: true });
    }
    for (const image of this.images) {
      fs.writeFileSync(image, '');
      fs.truncateSync(image, size);
      prepare(image);
    }
  }

  async call({ args = [], script = '' }: SfdiskCall): Promise<SfdiskPair> {
    const argv = args.includes('disk.img') ? args : [...args, 'disk.img'];
    const mine = await userloop(['sfdisk', ...argv], {
      cwd: this.ours,
      stdin: script,
      env: { HOME: '.' },
    });
    const theirs = await runReference(argv, this.reference, script);
    adoptIdentifiers(...this.images);
    return {
      ours: this.#outcome(this.ours, mine.status, mine.stdout, mine.stderr),
      reference: this.#outcome(this.reference, theirs.status, theirs.stdout, theirs.stderr),
      difference: firstSparseDifference(...this.images),
    };
  }

  #outcome(folder: string, status: number, stdout: string, stderr: string): SfdiskOutcome {
    const files: Record<string, string> = {};
    for (const name of fs.readdirSync(folder).sort()) {
      if (/\.(bak|move)$/.test(name)) files[name] = fs.readFileSync(path.join(folder, name), 'latin1');
    }
    return { ...masked(status, stdout, stderr), files };
  }
}

/** The real sfdisk sleeps for a quarter of a second before it ends; tests that are concurrent do so together. */
async function runReference(argv: readonly string[], cwd: string, script: string): Promise<ToolResult> {
  const child = spawn(findTool('sfdisk')!, argv, {
    argv0: 'sfdisk',
    cwd,
    env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', HOME: '.' },
  });
  // It may end before it has read all that it was given.
  child.stdin.on('error', () => {});
  child.stdin.end(script);
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { status: status ?? 128, stdout, stderr };
}
