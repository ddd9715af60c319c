import nodeFileSystem from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { openFileSystem } from '../../src/filesystem/drivers.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { formatDevice } from '../../src/host/create-image.ts';
import type { NodeFs } from '../../src/host/node-fs.ts';
import { systemClock } from '../../src/host/system.ts';
import { MemoryFileSystem } from '../support/memory-file-system.ts';
import { imageFace, outcome } from '../support/node-fs-outcomes.ts';
import { temporaryFolder } from '../support/tools.ts';

const FILE_SYSTEMS: readonly (readonly [name: string, make: () => FileSystem])[] = [
  ['maps in memory', () => new MemoryFileSystem({ clock: systemClock })],
  [
    'ext2',
    () => {
      const device = new MemoryDevice(16 << 20);
      formatDevice(device, 'ext2');
      return openFileSystem(device, { clock: systemClock });
    },
  ],
];

/** Runs the same calls on the machine's own file system and on ours and compares every outcome. */
function same(name: string, ...bodies: ((fs: NodeFs, at: (name: string) => string) => unknown)[]): void {
  it.each(FILE_SYSTEMS)(`${name} (%s)`, (_name, make) => {
    const root = temporaryFolder();
    const at = (below: string): string => (below === '' ? root : `${root}/${below}`);
    const fileSystem = make();
    const image = imageFace(root, fileSystem);
    const host = nodeFileSystem as unknown as NodeFs;
    for (const [index, body] of bodies.entries()) {
      expect(
        outcome(() => body(image, at)),
        `step ${index + 1}: ${body.toString()}`,
      ).toEqual(outcome(() => body(host, at)));
    }
    fileSystem.close();
  });
}

// The numbers and the texts are those of Linux; elsewhere the machine has others.
describe.skipIf(process.platform !== 'linux')('nodeFs answers as node:fs does on a real folder', () => {
  same(
    'when files are written and read whole',
    (fs, at) => fs.writeFileSync(at('a'), 'Grüße\n'),
    (fs, at) => fs.readFileSync(at('a')),
    (fs, at) => fs.readFileSync(at('a'), 'utf8'),
    (fs, at) => fs.readFileSync(at('a'), 'latin1'),
    (fs, at) => fs.readFileSync(at('a'), { encoding: 'hex' }),
    (fs, at) => fs.readFileSync(at('a'), { encoding: 'base64', flag: 'r+' }),
    (fs, at) => fs.readFileSync(at('a'), 'no-such-encoding' as BufferEncoding),
    (fs, at) => fs.appendFileSync(at('a'), '616263', 'hex'),
    (fs, at) => fs.readFileSync(at('a'), 'utf8'),
    (fs, at) => fs.writeFileSync(at('a'), new Uint16Array([0x4241, 0x4443])),
    (fs, at) => fs.readFileSync(at('a'), 'utf8'),
    (fs, at) => fs.writeFileSync(at('a'), 'x', { flag: 'wx' }),
    (fs, at) => fs.writeFileSync(at('b'), 'x', { flag: 'ax', mode: 0o600 }),
    (fs, at) => fs.statSync(at('b')),
    (fs, at) => fs.writeFileSync(at('no/b'), 'x'),
    (fs, at) => fs.writeFileSync(at(''), 'x'),
    (fs, at) => fs.readFileSync(at('')),
    (fs, at) => fs.readFileSync(at('none')),
    (fs, at) => fs.readFileSync(at('a/b')),
    (fs, at) => fs.readFileSync(`${at('a')}/`),
    (fs, at) => fs.readFileSync(at('a\0b')),
    (fs) => fs.readFileSync(''),
    (fs) => fs.readFileSync({} as string),
    (fs, at) => fs.readFileSync(Buffer.from(at('a')), 'utf8'),
    (fs, at) => fs.readFileSync(pathToFileURL(at('a')), 'utf8'),
    (fs, at) => fs.writeFileSync(at('c'), 'x', { flag: 'q' }),
    (fs, at) => fs.writeFileSync(at('n'.repeat(256)), 'x'),
    (fs, at) => fs.existsSync(at('n'.repeat(256))),
  );

  same(
    'when descriptors are read and written at positions',
    (fs, at) => {
      const fd = fs.openSync(at('f'), 'w+');
      const steps = [
        fs.writeSync(fd, 'hello world'),
        fs.writeSync(fd, Buffer.from('HELLO'), 1, 3, 2),
        fs.writeSync(fd, 'end', 20),
        fs.writeSync(fd, '21', null, 'hex'),
        fs.writevSync(fd, [Buffer.from('ab'), Buffer.from('cd')]),
        fs.writevSync(fd, [Buffer.from('ab'), Buffer.from('cd')], 30),
        fs.fstatSync(fd).size,
      ];
      const into = Buffer.alloc(8, '.');
      steps.push(fs.readSync(fd, into, 0, 8, 0));
      const first = into.toString();
      steps.push(fs.readSync(fd, into, { position: 4n, length: 3, offset: 1 }));
      const second = into.toString();
      steps.push(fs.readSync(fd, into, 0, 8, 1000), fs.readSync(fd, into));
      const parts = [Buffer.alloc(3), Buffer.alloc(4)];
      steps.push(fs.readvSync(fd, parts, 9));
      fs.ftruncateSync(fd, 5);
      steps.push(fs.fstatSync(fd).size);
      fs.ftruncateSync(fd);
      steps.push(fs.fstatSync(fd).size);
      fs.fsyncSync(fd);
      fs.fdatasyncSync(fd);
      fs.closeSync(fd);
      return [...steps, first, second, ...parts.map(String)];
    },
    (fs, at) => {
      const fd = fs.openSync(at('g'), 'a+');
      fs.writeSync(fd, 'one');
      fs.writeSync(fd, 'two', 0);
      const content = fs.readFileSync(fd, 'utf8');
      fs.closeSync(fd);
      return [content, fs.readFileSync(at('g'), 'utf8')];
    },
    (fs, at) => {
      const fd = fs.openSync(at('g'), 'r');
      const whole = [fs.readFileSync(fd, 'utf8'), fs.readFileSync(fd, 'utf8')];
      fs.closeSync(fd);
      return whole;
    },
    (fs, at) => fs.writeSync(fs.openSync(at('g'), 'r'), 'x'),
    (fs, at) => fs.readSync(fs.openSync(at('g'), 'a'), Buffer.alloc(1)),
    (fs, at) => fs.readSync(fs.openSync(at(''), 'r'), Buffer.alloc(1)),
    (fs, at) => fs.ftruncateSync(fs.openSync(at('g'), 'r'), 1),
    (fs, at) => fs.readSync(fs.openSync(at('g'), 'r'), Buffer.alloc(4), 2, 4, 0),
    (fs, at) => fs.readSync(fs.openSync(at('g'), 'r'), Buffer.alloc(4), -1, 4, 0),
    (fs) => fs.fstatSync(987_654),
    (fs) => fs.readSync(987_654, Buffer.alloc(1)),
    (fs) => fs.closeSync('3' as unknown as number),
    (fs, at) => fs.openSync(at('g'), fs.constants.O_CREAT | fs.constants.O_EXCL),
    (fs, at) => fs.openSync(at('g'), fs.constants.O_DIRECTORY),
    (fs, at) => fs.openSync(at(''), 'r+'),
    (fs, at) => fs.openSync(`${at('new')}/`, 'w'),
  );

  same('when a file that is open is unlinked', (fs, at) => {
    fs.writeFileSync(at('f'), 'still here');
    const fd = fs.openSync(at('f'), 'r+');
    fs.unlinkSync(at('f'));
    const stats = fs.fstatSync(fd);
    fs.writeSync(fd, '!', 10);
    const content = fs.readFileSync(fd, 'utf8');
    fs.closeSync(fd);
    return [stats, content, fs.existsSync(at('f'))];
  });

  same(
    'when directories are made, listed and removed',
    (fs, at) => fs.mkdirSync(at('a')),
    (fs, at) => fs.mkdirSync(at('a')),
    (fs, at) => fs.mkdirSync(at('x/y/z')),
    (fs, at) => fs.mkdirSync(at('x/y/z'), { recursive: true }),
    (fs, at) => fs.mkdirSync(at('x/y/z'), { recursive: true }),
    (fs, at) => fs.mkdirSync(at('m'), 0o700),
    (fs, at) => fs.mkdirSync(at('o'), { mode: '0710' }),
    (fs, at) => [fs.statSync(at('m')), fs.statSync(at('o'))],
    (fs, at) => fs.writeFileSync(at('x/file'), ''),
    (fs, at) => fs.mkdirSync(at('x/file')),
    (fs, at) => fs.mkdirSync(at('x/file/below')),
    (fs, at) => fs.mkdirSync(at('x/file'), { recursive: true }),
    (fs, at) => fs.mkdirSync(at('x/file/below'), { recursive: true }),
    (fs, at) => fs.mkdirSync(at('.')),
    (fs, at) => fs.mkdirSync(at('a/..')),
    (fs) => fs.mkdirSync('/'),
    (fs, at) => fs.readdirSync(at('')).sort(),
    (fs, at) => fs.readdirSync(at('x'), { recursive: true }).map(String).sort(),
    (fs, at) => fs.readdirSync(at('x'), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)),
    (fs, at) =>
      fs
        .readdirSync(at('x'), { withFileTypes: true, recursive: true })
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    (fs, at) => fs.readdirSync(at('x/y'), 'buffer'),
    (fs, at) => fs.readdirSync(at('x/y'), { encoding: 'buffer', withFileTypes: true }),
    (fs, at) => fs.readdirSync(at('x/y'), 'hex'),
    (fs, at) => fs.readdirSync(at('none')),
    (fs, at) => fs.readdirSync(at('x/file')),
    (fs, at) => fs.rmdirSync(at('x')),
    (fs, at) => fs.rmdirSync(at('x/file')),
    (fs, at) => fs.rmdirSync(at('none')),
    (fs, at) => fs.rmdirSync(at('a')),
    (fs, at) => fs.unlinkSync(at('x')),
    (fs, at) => fs.rmSync(at('x')),
    (fs, at) => fs.rmSync(at('none')),
    (fs, at) => fs.rmSync(at('none'), { force: true }),
    (fs, at) => fs.rmSync(at('x'), { recursive: true }),
    (fs, at) => fs.existsSync(at('x')),
    (fs, at) => path.dirname(fs.mkdtempSync(at('t-'))),
    (fs, at) => fs.readdirSync(at('')).filter((name) => /^t-[a-zA-Z0-9]{6}$/.test(name)).length,
    (fs, at) => fs.mkdtempSync(at('none/t-')),
    (fs, at) => {
      const dir = fs.opendirSync(at(''));
      const names: string[] = [];
      for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) names.push(entry.name[0]!);
      dir.closeSync();
      return [dir.path, ...names.sort()];
    },
    (fs, at) => {
      const dir = fs.opendirSync(at(''));
      dir.closeSync();
      dir.readSync();
    },
  );

  same(
    'when names are moved and linked',
    (fs, at) => fs.writeFileSync(at('a'), 'a'),
    (fs, at) => fs.writeFileSync(at('b'), 'b'),
    (fs, at) => fs.mkdirSync(at('d/e'), { recursive: true }),
    (fs, at) => fs.renameSync(at('a'), at('c')),
    (fs, at) => fs.renameSync(at('none'), at('c')),
    (fs, at) => fs.renameSync(at('c'), at('d')),
    (fs, at) => fs.renameSync(at('d'), at('c')),
    (fs, at) => fs.renameSync(at('d'), at('d/e/f')),
    (fs, at) => fs.renameSync(at('b'), at('none/b')),
    (fs, at) => fs.renameSync(at('b'), at('d/b')),
    (fs, at) => fs.renameSync(at('c'), at('d/b')),
    (fs, at) => fs.readFileSync(at('d/b'), 'utf8'),
    (fs, at) => fs.linkSync(at('d/b'), at('hard')),
    (fs, at) => fs.linkSync(at('d/b'), at('hard')),
    (fs, at) => fs.linkSync(at('d'), at('hard-directory')),
    (fs, at) => fs.linkSync(at('none'), at('x')),
    (fs, at) => fs.statSync(at('hard')),
    (fs, at) => fs.symlinkSync('d/b', at('soft')),
    (fs, at) => fs.symlinkSync('d/b', at('soft')),
    (fs, at) => fs.symlinkSync('d', at('soft-directory')),
    (fs, at) => fs.symlinkSync('nowhere', at('dangling')),
    (fs, at) => fs.symlinkSync('loop', at('loop')),
    (fs, at) => fs.symlinkSync('', at('empty')),
    (fs, at) => fs.lstatSync(at('soft')),
    (fs, at) => fs.statSync(at('soft')),
    (fs, at) => fs.statSync(at('dangling')),
    (fs, at) => fs.statSync(at('loop')),
    (fs, at) => fs.statSync(`${at('soft')}/`),
    (fs, at) => fs.lstatSync(`${at('soft-directory')}/`),
    (fs, at) => fs.readlinkSync(at('soft')),
    (fs, at) => fs.readlinkSync(at('soft'), 'buffer'),
    (fs, at) => fs.readlinkSync(at('hard')),
    (fs, at) => fs.readlinkSync(at('none')),
    (fs, at) => fs.readFileSync(at('soft-directory/b'), 'utf8'),
    (fs, at) => fs.realpathSync(at('soft-directory/../soft')),
    (fs, at) => fs.realpathSync.native(at('dangling')),
    (fs, at) => fs.readdirSync(at('soft-directory')).sort(),
    (fs, at) => fs.writeFileSync(at('dangling'), 'made'),
    (fs, at) => fs.readFileSync(at('nowhere'), 'utf8'),
    (fs, at) => fs.openSync(at('loop'), 'w'),
    (fs, at) => fs.openSync(at('soft'), fs.constants.O_NOFOLLOW),
    (fs, at) => fs.writeFileSync(at('soft'), 'x', { flag: 'wx' }),
    (fs, at) => fs.unlinkSync(at('soft')),
    (fs, at) => fs.rmSync(at('soft-directory'), { recursive: true }),
    (fs, at) => fs.readdirSync(at('d')).sort(),
    (fs, at) => fs.copyFileSync(at('hard'), at('copy')),
    (fs, at) => fs.copyFileSync(at('hard'), at('copy'), fs.constants.COPYFILE_EXCL),
    (fs, at) => fs.copyFileSync(at('none'), at('copy')),
    (fs, at) => fs.copyFileSync(at('hard'), at('hard')),
    (fs, at) => fs.readFileSync(at('copy'), 'utf8') + fs.readFileSync(at('hard'), 'utf8'),
    (fs, at) => fs.truncateSync(at('copy'), 3),
    (fs, at) => fs.readFileSync(at('copy')),
    (fs, at) => fs.truncateSync(at('d')),
  );

  same(
    'when attributes are asked for and changed',
    (fs, at) => fs.writeFileSync(at('f'), 'x'),
    (fs, at) => fs.chmodSync(at('f'), 0o4751),
    (fs, at) => fs.statSync(at('f')),
    (fs, at) => fs.chmodSync(at('f'), '644'),
    (fs, at) => fs.statSync(at('f')),
    (fs, at) => fs.chmodSync(at('f'), 'rw'),
    (fs, at) => fs.chmodSync(at('none'), 0o644),
    (fs, at) => fs.chownSync(at('f'), -1, -1),
    (fs, at) => fs.utimesSync(at('f'), 1_000_000_000.25, new Date('2020-02-03T04:05:06.789Z')),
    (fs, at) => [fs.statSync(at('f')).atimeMs, fs.statSync(at('f')).mtime],
    (fs, at) => fs.utimesSync(at('f'), '12345', -86400.5),
    (fs, at) => fs.statSync(at('f')).atimeMs,
    (fs, at) => fs.utimesSync(at('f'), 'yesterday', 0),
    (fs, at) => fs.statSync(at('f'), { bigint: true }).atimeNs,
    (fs, at) => fs.statSync(at('none'), { throwIfNoEntry: false }),
    (fs, at) => fs.statSync(at('f/x')),
    (fs, at) => fs.lstatSync(at('none')),
    (fs, at) => fs.accessSync(at('f'), fs.constants.R_OK | fs.constants.W_OK),
    (fs, at) => fs.accessSync(at('f'), fs.constants.X_OK),
    (fs, at) => fs.accessSync(at('none')),
    (fs, at) => fs.symlinkSync('f', at('l')),
    (fs, at) => fs.lutimesSync(at('l'), 1, 2),
    (fs, at) => [fs.lstatSync(at('l')).mtimeMs, fs.statSync(at('l')).atimeMs],
    (fs, at) => fs.statfsSync(at('none')),
  );

  same(
    'when trees are copied',
    (fs, at) => fs.mkdirSync(at('a/b'), { recursive: true }),
    (fs, at) => fs.writeFileSync(at('a/b/f'), '1', { mode: 0o640 }),
    (fs, at) => fs.symlinkSync('b/f', at('a/l')),
    (fs, at) => fs.cpSync(at('a'), at('c')),
    (fs, at) => fs.cpSync(at('a'), at('c'), { recursive: true, filter: (source) => !source.endsWith('/b') }),
    (fs, at) => fs.readdirSync(at('c'), { recursive: true }).map(String).sort(),
    (fs, at) => fs.cpSync(at('a'), at('d/e'), { recursive: true, verbatimSymlinks: true }),
    (fs, at) => fs.readdirSync(at('d'), { recursive: true }).map(String).sort(),
    (fs, at) => [fs.statSync(at('d/e/b/f')), fs.readlinkSync(at('d/e/l')), fs.readlinkSync(at('c/l'))],
    (fs, at) => fs.cpSync(at('a'), at('a/b/c'), { recursive: true }),
    (fs, at) => fs.cpSync(at('a/b/f'), at('d/e/b/f'), { force: false, errorOnExist: true }),
    (fs, at) => fs.cpSync(at('a/b/f'), at('d/e')),
    (fs, at) => fs.cpSync(at('a'), at('d/e/b/f'), { recursive: true }),
    (fs, at) => fs.cpSync(at('none'), at('x')),
  );
});
