import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from './programs.ts';
import { findTool } from './tools.ts';

export interface TortureOptions {
  /** Only what FAT can hold: regular files and directories with names that it takes, and times on even seconds. */
  readonly plain: boolean;
  /** Files in the crowded directory. */
  readonly crowd: number;
}

/** A tree of everything that is hard to copy. Device nodes only when root makes it. */
export function makeTortureTree(folder: string, options: TortureOptions): void {
  fs.mkdirSync(folder, { recursive: true });
  crowdedDirectory(path.join(folder, 'crowd'), options.crowd);
  manyNames(path.join(folder, 'names'), options.plain);
  deepDirectory(path.join(folder, 'deep'));
  sizes(path.join(folder, 'sizes'));
  if (!options.plain) {
    sparseFiles(path.join(folder, 'sparse'));
    links(path.join(folder, 'links'));
    specialFiles(path.join(folder, 'special'));
    attributes(path.join(folder, 'attributes'));
  }
  times(folder, options.plain);
}

function crowdedDirectory(folder: string, count: number): void {
  fs.mkdirSync(folder);
  for (let i = 0; i < count; i++) {
    fs.writeFileSync(path.join(folder, `file number ${i}`), i % 7 === 0 ? `${i}`.repeat(i % 50) : '');
  }
}

function manyNames(folder: string, plain: boolean): void {
  fs.mkdirSync(folder);
  const write = (name: string | Buffer): void => {
    fs.writeFileSync(
      Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name as string)]),
      name.toString(),
    );
  };
  for (let length = 1; length <= 255; length++) write('n'.repeat(length));
  // Characters of two, three and four bytes; FAT counts a name in UTF-16 units, so 255 bytes always fit.
  for (const character of ['é', '€', '😀']) {
    const size = Buffer.byteLength(character);
    for (const count of [1, 2, Math.floor(255 / size)]) write(character.repeat(count));
  }
  write('with space.and.dots');
  write('MiXeD case.TXT');
  if (plain) return;
  for (const name of [
    'case',
    'Case',
    'a:b',
    'a?b*c',
    'ends with a dot.',
    'ends with a space ',
    '-rf',
    '\n',
    '\x1b[31m',
    '"',
    '\\',
  ]) {
    write(name);
  }
  write(Buffer.from([0xff, 0xfe, 0x80]));
  write(Buffer.from([0x61, 0xed, 0xa0, 0x80]));
}

function deepDirectory(folder: string): void {
  let at = folder;
  for (let level = 0; level < 20; level++) {
    fs.mkdirSync(at, { recursive: true });
    fs.writeFileSync(path.join(at, 'here'), `level ${level}`);
    at = path.join(at, `level-${level}`);
  }
  fs.mkdirSync(at);
}

function sizes(folder: string): void {
  fs.mkdirSync(folder);
  const content = Buffer.alloc(3 << 20);
  for (let i = 0; i < content.length; i += 4) content.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  for (const size of [
    0,
    1,
    511,
    512,
    513,
    1023,
    1024,
    1025,
    4095,
    4096,
    4097,
    12288,
    12289,
    65536,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    content.length,
  ]) {
    fs.writeFileSync(path.join(folder, `${size}`), content.subarray(0, size));
  }
}

function sparseFiles(folder: string): void {
  fs.mkdirSync(folder);
  const write = (name: string, size: number, pieces: readonly number[]): void => {
    const fd = fs.openSync(path.join(folder, name), 'w');
    for (const offset of pieces) fs.writeSync(fd, Buffer.alloc(4096, name), 0, 4096, offset);
    fs.ftruncateSync(fd, size);
    fs.closeSync(fd);
  };
  write('five gibibytes', 5 * 2 ** 30, [0, 2 ** 30, 4 * 2 ** 30, 5 * 2 ** 30 - 4096]);
  write('only a hole', 1 << 24, []);
  write('hole at the end', (1 << 20) + 77, [8192]);
  write('hole at the start', 1 << 20, [(1 << 20) - 4096]);
}

function links(folder: string): void {
  fs.mkdirSync(path.join(folder, 'below'), { recursive: true });
  fs.writeFileSync(path.join(folder, 'first'), 'three names');
  fs.linkSync(path.join(folder, 'first'), path.join(folder, 'second'));
  fs.linkSync(path.join(folder, 'first'), path.join(folder, 'below', 'third'));
  fs.symlinkSync('first', path.join(folder, 'fast'));
  fs.symlinkSync('x'.repeat(59), path.join(folder, 'fast 59'));
  fs.symlinkSync('x'.repeat(60), path.join(folder, 'slow 60'));
  fs.symlinkSync(`${'long/'.repeat(100)}end`, path.join(folder, 'slow'));
  fs.symlinkSync('/etc/passwd', path.join(folder, 'absolute'));
  fs.symlinkSync('loop', path.join(folder, 'loop'));
  fs.symlinkSync('below', path.join(folder, 'to a directory'));
  fs.symlinkSync(Buffer.from([0xff, 0xc3, 0xa4]), path.join(folder, 'bytes'));
}

function specialFiles(folder: string): void {
  fs.mkdirSync(folder);
  const make = (...args: string[]): void => {
    if (findTool('mknod') !== undefined) spawnSync(findTool('mknod')!, args);
  };
  make(path.join(folder, 'pipe'), 'p');
  if (process.geteuid?.() !== 0) return;
  make(path.join(folder, 'null'), 'c', '1', '3');
  make(path.join(folder, 'wide'), 'b', '259', '70000');
  fs.chmodSync(path.join(folder, 'null'), 0o666);
}

function attributes(folder: string): void {
  fs.mkdirSync(folder);
  for (const mode of [0o400, 0o600, 0o755, 0o4755, 0o2755, 0o6711, 0o777]) {
    const file = path.join(folder, `mode ${mode.toString(8)}`);
    fs.writeFileSync(file, '');
    fs.chmodSync(file, mode);
  }
  for (const mode of [0o1777, 0o2775, 0o700]) {
    const directory = path.join(folder, `directory ${mode.toString(8)}`);
    fs.mkdirSync(directory);
    fs.chmodSync(directory, mode);
  }
  const owned = path.join(folder, 'owned');
  fs.writeFileSync(owned, 'x');
  if (process.geteuid?.() === 0) fs.chownSync(owned, 70000, 123456);
  const setfattr = findTool('setfattr');
  if (setfattr === undefined) return;
  spawnSync(setfattr, ['-n', 'user.short', '-v', 'value', owned]);
  spawnSync(setfattr, ['-n', 'user.binary', '-v', '0x00ff10', owned]);
  spawnSync(setfattr, ['-n', 'user.long', '-v', 'v'.repeat(700), path.join(folder, 'mode 600')]);
  spawnSync(setfattr, ['-n', 'user.on.directory', '-v', 'x', folder]);
}

/** Times last: whatever is made in a directory changes those of the directory. */
function times(folder: string, plain: boolean): void {
  const touch = (relative: string, seconds: number): void => {
    fs.utimesSync(path.join(folder, relative), seconds, seconds);
  };
  touch('sizes/0', plain ? 315705600 : 1);
  touch('sizes/1', 1_000_000_000);
  touch('sizes/512', plain ? 2_000_000_000 : 1_234_567_890.125);
  touch('deep', 1_500_000_000);
  touch('names', 1_400_000_000);
}
