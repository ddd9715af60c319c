import fs from 'node:fs';
import { nativeFileOperations } from '../../src/host/native-file.ts';

/** A small, good enough generator: the same seed gives the same run. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

export interface ExerciseOptions {
  readonly steps: number;
  readonly seed: number;
  /** The format has holes, so that they can be punched. */
  readonly punches: boolean;
  /** Bytes of the longest file; then also of the longest writes, which else are shorter. */
  readonly longest?: number;
  /** Called now and then: what it does must not change any file. */
  readonly between?: () => void;
}

const USUAL_LONGEST = 300_000;
const USUAL_LONGEST_WRITE = 70_000;

/**
 * Random reads, writes, truncates, punches, renames, unlinks and new files below `folder`, each compared with what plain arrays make of it. At the end
 * every file is compared wholly. Returns the files by name.
 */
export function exerciseFiles(folder: string, options: ExerciseOptions): Map<string, Uint8Array> {
  const random = randomNumbers(options.seed);
  const files = new Map<string, { content: Uint8Array; fd: number | undefined }>();
  const native = nativeFileOperations();
  const punches = options.punches && native !== undefined;
  const at = (name: string): string => `${folder}/${name}`;
  const longest = options.longest ?? USUAL_LONGEST;
  const longestWrite = options.longest ?? USUAL_LONGEST_WRITE;
  const scratch = new Uint8Array(longest);

  function open(name: string): { content: Uint8Array; fd: number } {
    const file = files.get(name)!;
    if (file.fd === undefined) file.fd = fs.openSync(at(name), 'r+');
    return file as { content: Uint8Array; fd: number };
  }
  function close(file: { fd: number | undefined }): void {
    if (file.fd !== undefined) fs.closeSync(file.fd);
    file.fd = undefined;
  }
  function check(name: string, found: Uint8Array, expected: Uint8Array, what: string): void {
    if (Buffer.compare(found, expected) === 0) return;
    const place = found.findIndex((byte, index) => byte !== expected[index]);
    throw new Error(
      `${what} of ${name}: ${found.length} bytes, expected ${expected.length}; first difference at byte ${place}`,
    );
  }

  for (let step = 0; step < options.steps; step++) {
    const names = [...files.keys()];
    const name = names.length === 0 ? '' : names[random(names.length)]!;
    const action = files.size < 4 ? 0 : random(100);
    if (action < 6 && files.size < 40) {
      const fresh = `file with a number ${step}`;
      fs.writeFileSync(at(fresh), '');
      files.set(fresh, { content: new Uint8Array(0), fd: undefined });
    } else if (action < 45) {
      const file = open(name);
      const offset = random(Math.min(longest - 1, file.content.length + 5000));
      const most = random(4) === 0 ? longestWrite : 5000;
      const length = 1 + random(Math.min(most, longest - offset));
      const data = new Uint8Array(length).fill(1 + random(255));
      data[0] = random(256);
      fs.writeSync(file.fd, data, 0, length, offset);
      if (offset + length > file.content.length) {
        const longer = new Uint8Array(offset + length);
        longer.set(file.content);
        file.content = longer;
      }
      file.content.set(data, offset);
    } else if (action < 70) {
      const file = open(name);
      const offset = random(file.content.length + 100);
      const length = 1 + random(40_000);
      const count = fs.readSync(file.fd, scratch, 0, length, offset);
      check(
        name,
        scratch.subarray(0, count),
        file.content.subarray(offset, offset + length),
        `Step ${step}: read at ${offset}`,
      );
    } else if (action < 78) {
      const file = open(name);
      const size = random(longest);
      fs.ftruncateSync(file.fd, size);
      const content = new Uint8Array(size);
      content.set(file.content.subarray(0, size));
      file.content = content;
    } else if (action < 84 && punches) {
      const file = open(name);
      const offset = random(file.content.length + 1);
      const length = 1 + random(60_000);
      if (!native.punchHole(file.fd, offset, length)) throw new Error(`Step ${step}: punching failed`);
      file.content.fill(0, offset, offset + length);
    } else if (action < 90) {
      const target = random(2) === 0 ? names[random(names.length)]! : `renamed ${step}`;
      fs.renameSync(at(name), at(target));
      if (target !== name) {
        const file = files.get(name)!;
        const replaced = files.get(target);
        if (replaced !== undefined) close(replaced);
        files.delete(name);
        files.set(target, file);
      }
    } else if (action < 93) {
      const file = files.get(name)!;
      // What is open lives on without its name.
      const { fd, content } = open(name);
      fs.unlinkSync(at(name));
      const count = fs.readSync(fd, scratch, 0, scratch.length, 0);
      check(name, scratch.subarray(0, count), content, `Step ${step}: read after unlink`);
      close(file);
      files.delete(name);
    } else if (action < 96) {
      close(files.get(name)!);
    } else if (action < 98) {
      const { content } = files.get(name)!;
      const { size } = fs.statSync(at(name));
      if (size !== content.length)
        throw new Error(`Step ${step}: ${name} has ${size} bytes, expected ${content.length}`);
    } else {
      const listed = fs.readdirSync(folder).filter((entry) => files.has(entry));
      if (listed.length !== files.size)
        throw new Error(`Step ${step}: ${listed.length} names are listed, expected ${files.size}`);
      options.between?.();
    }
  }
  const contents = new Map<string, Uint8Array>();
  for (const [name, file] of files) {
    close(file);
    check(name, fs.readFileSync(at(name)), file.content, 'At the end, content');
    contents.set(name, file.content);
  }
  return contents;
}
