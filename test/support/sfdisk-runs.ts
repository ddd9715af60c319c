import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { adoptIdentifiers, masked } from './fdisk-sessions.ts';
import { userloop } from './run.ts';
import { firstSparseDifference } from './sparse-files.ts';
import { findTool } from './tools.ts';

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
    const theirs = spawnSync(findTool('sfdisk')!, argv, {
      argv0: 'sfdisk',
      cwd: this.reference,
      input: script,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', HOME: '.' },
    });
    adoptIdentifiers(...this.images);
    return {
      ours: this.#outcome(this.ours, mine.status, mine.stdout, mine.stderr),
      reference: this.#outcome(this.reference, theirs.status ?? 128, theirs.stdout, theirs.stderr),
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
