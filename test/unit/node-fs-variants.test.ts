import nodeFileSystem from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import type { DirectoryEntry, NodeId } from '../../src/filesystem/file-system.ts';
import { openFileSystem } from '../../src/filesystem/drivers.ts';
import { NOT_SUPPORTED } from '../../src/filesystem/node-fs/not-supported.ts';
import { plainNodeFs } from '../../src/filesystem/node-fs/face.ts';
import { formatDevice } from '../../src/host/create-image.ts';
import { type NodeFs, nodeFs } from '../../src/host/node-fs.ts';
import { systemClock } from '../../src/host/system.ts';
import { MemoryFileSystem } from '../support/memory-file-system.ts';
import { imageFace, outcomeLater } from '../support/node-fs-outcomes.ts';
import { temporaryFolder } from '../support/tools.ts';

describe('the promise and callback variants', () => {
  it('of the promise kind give what node:fs gives', async () => {
    const root = temporaryFolder();
    const image = imageFace(root);
    const at = (name: string): string => `${root}/${name}`;
    const bodies: ((fs: NodeFs) => Promise<unknown>)[] = [
      (fs) => fs.promises.writeFile(at('a'), 'text'),
      (fs) => fs.promises.readFile(at('a'), 'utf8'),
      (fs) => fs.promises.readFile(at('none')),
      (fs) => fs.promises.appendFile(at('a'), Buffer.from('!')),
      (fs) => fs.promises.writeFile(at('s'), Readable.from(['a', 'b'])),
      (fs) => fs.promises.writeFile(at('i'), [Buffer.from('x'), 'y']),
      (fs) => fs.promises.readFile(at('i')),
      (fs) => fs.promises.stat(at('s')),
      (fs) => fs.promises.mkdir(at('d/e'), { recursive: true }),
      (fs) => fs.promises.rmdir(at('d')),
      (fs) => fs.promises.access(at('none')),
      (fs) => fs.promises.cp(at('d'), at('g'), { recursive: true, filter: async () => true }),
      (fs) => fs.promises.rename(at('s'), at('d/s')),
      async (fs) =>
        (await fs.promises.readdir(at(''), { withFileTypes: true })).map(({ name }) => name).sort(),
      async (fs) => {
        const names: string[] = [];
        for await (const entry of await fs.promises.opendir(at('d'))) names.push(entry.name);
        return names.sort();
      },
      async (fs) => {
        const handle = await fs.promises.open(at('h'), 'w+');
        const written = await handle.write('hello\nworld\n');
        const wrote = await handle.write(Buffer.from('HEL'), 0, 3, 0);
        const { bytesRead, buffer } = await handle.read(Buffer.alloc(20), 0, 20, 2);
        await handle.truncate(8);
        const { size } = await handle.stat();
        const text = await fs.promises.readFile(handle, 'utf8');
        await handle.close();
        await handle.close();
        return [
          written.bytesWritten,
          wrote.bytesWritten,
          bytesRead,
          buffer.toString(),
          size,
          text,
          handle.fd,
        ];
      },
      async (fs) => {
        const handle = await fs.promises.open(at('h'));
        const lines: string[] = [];
        for await (const line of handle.readLines()) lines.push(line);
        return [lines, handle.fd];
      },
      (fs) => fs.promises.open(at('none')),
      (fs) => fs.promises.readFile({} as string),
    ];
    for (const body of bodies) {
      const host = await outcomeLater(() => body(nodeFileSystem as unknown as NodeFs));
      const mine = await outcomeLater(() => body(image));
      // A promise loses node's path in some calls; what node tells must be told.
      expect(mine, body.toString()).toMatchObject(host as object);
    }
  });

  it('of the callback kind call back after the caller has returned, with error first', async () => {
    const fs = imageFace('/tmp');
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      fs.writeFile('/f', 'abc', (error) => {
        order.push(`written ${error}`);
        fs.readFile('/f', 'utf8', (failure, text) => {
          order.push(`read ${failure} ${text}`);
          fs.readFile('/none', (missing, nothing) => {
            order.push(`missing ${missing?.code} ${String(nothing)}`);
            resolve();
          });
        });
      });
      order.push('returned');
    });
    expect(order).toEqual(['returned', 'written null', 'read null abc', 'missing ENOENT undefined']);
    expect(() => fs.readFile('/f', undefined as never)).toThrow(TypeError);
    expect(() => fs.readFile({} as string, () => undefined)).toThrow(TypeError);
  });

  it('of the callback kind work under util.promisify with the results that node gives', async () => {
    const fs = imageFace('/tmp');
    const fd = await promisify(fs.open)('/f', 'w+');
    expect(await promisify(fs.write)(fd, Buffer.from('hello'), 0, 5, 0)).toMatchObject({ bytesWritten: 5 });
    const { bytesRead, buffer } = await promisify(fs.read)(fd, Buffer.alloc(5), 0, 5, 0);
    expect([bytesRead, buffer.toString()]).toEqual([5, 'hello']);
    expect(await promisify(fs.exists)('/f')).toBe(true);
    expect(await promisify(fs.exists)('/g')).toBe(false);
    await promisify(fs.close)(fd);
    await expect(promisify(fs.readdir)('/none')).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'scandir',
    });
  });

  it('exist for every call of node:fs, but for those that are refused by name', () => {
    const fs = nodeFs(new MemoryFileSystem()) as unknown as Record<string, unknown>;
    const isClassOrPrivate = (name: string): boolean => /^(_|[A-Z].*Stream$)/.test(name);
    const absent = Object.keys(nodeFileSystem).filter((name) => !(name in fs) && !isClassOrPrivate(name));
    // Newer than the Node that this face follows, or not there on Linux.
    const newer = ['glob', 'globSync', 'mkdtempDisposable', 'mkdtempDisposableSync', 'Utf8Stream'];
    expect(absent.filter((name) => !newer.includes(name))).toEqual([]);
    for (const name of NOT_SUPPORTED) expect(() => (fs[name] as () => void)()).toThrow('ENOSYS');
    const promises = fs['promises'] as Record<string, unknown>;
    const missing = Object.keys(nodeFileSystem.promises).filter((name) => !(name in promises));
    expect(missing.filter((name) => !newer.includes(name))).toEqual(
      ['lchmod', 'watch'].filter((name) => missing.includes(name)),
    );
  });
});

describe('statfs', () => {
  it('has every member that node gives, and the numbers of the file system', () => {
    const device = new MemoryDevice(1 << 20);
    formatDevice(device, 'ext2');
    const fileSystem = openFileSystem(device);
    const stats = nodeFs(fileSystem).statfsSync('/');
    expect(Object.keys(stats)).toEqual(expect.arrayContaining(Object.keys(nodeFileSystem.statfsSync('/'))));
    const { blockSize, totalBlocks, freeBlocks, availableBlocks, totalNodes, freeNodes } = fileSystem.usage();
    expect(stats).toMatchObject({ type: 0xef53, bsize: blockSize, blocks: totalBlocks, bfree: freeBlocks });
    expect(stats).toMatchObject({ bavail: availableBlocks, files: totalNodes, ffree: freeNodes });
    expect(nodeFs(fileSystem).statfsSync('/', { bigint: true }).blocks).toBe(BigInt(totalBlocks));
  });
});

describe('streams', () => {
  it('carry a large file into the image and out again', async () => {
    const fs = imageFace('/tmp');
    const content = Buffer.alloc(300_000, 'userloop ');
    await pipeline(
      Readable.from([content.subarray(0, 1000), content.subarray(1000)]),
      fs.createWriteStream('/big'),
    );
    const parts: Buffer[] = [];
    for await (const part of fs.createReadStream('/big', { highWaterMark: 10_000 }))
      parts.push(part as Buffer);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
    expect(parts.length).toBe(30);
  });

  it('read a range, append, and report a file that is not there', async () => {
    const fs = imageFace('/tmp');
    fs.writeFileSync('/f', '0123456789');
    await pipeline(Readable.from(['ab']), fs.createWriteStream('/f', { flags: 'a' }));
    let text = '';
    for await (const part of fs.createReadStream('/f', { start: 8, end: 10, encoding: 'utf8' })) text += part;
    expect(text).toBe('89a');
    await expect(pipeline(fs.createReadStream('/none'), fs.createWriteStream('/copy'))).rejects.toMatchObject(
      {
        code: 'ENOENT',
        path: '/none',
      },
    );
  });
});

describe('limits and refusals', () => {
  it('name the read-only file system', () => {
    const fs = nodeFs(new MemoryFileSystem({ readOnly: true }));
    expect(() => fs.writeFileSync('/f', 'x')).toThrow("EROFS: read-only file system, open '/f'");
    expect(() => fs.accessSync('/', fs.constants.W_OK)).toThrow('EROFS');
    expect(() => fs.mkdirSync('/')).toThrow('EEXIST');
    expect(fs.statSync('/none/x', { throwIfNoEntry: false })).toBeUndefined();
    expect(() => fs.closeSync(3)).toThrow('EBADF: bad file descriptor, close');
    // Node leaves the path out here; a message is better with it.
    expect(() => fs.opendirSync('/none')).toThrow("ENOENT: no such file or directory, opendir '/none'");
  });

  it('leave no node behind when files are closed and trees removed', () => {
    const fileSystem = new MemoryFileSystem();
    const fs = nodeFs(fileSystem);
    fs.mkdirSync('/a/b/c', { recursive: true });
    for (let i = 0; i < 100; i++) fs.writeFileSync(`/a/b/f${i}`, 'x');
    const fd = fs.openSync('/a/b/f1', 'r');
    fs.rmSync('/a', { recursive: true });
    expect(fileSystem.nodeCount).toBe(2);
    fs.closeSync(fd);
    expect(fileSystem.nodeCount).toBe(1);
    expect(fs.openSync('/', 'r')).toBe(fd);
  });

  it('remove and copy a tree that is thousands of levels deep', () => {
    const fs = nodeFs(new MemoryFileSystem());
    fs.mkdirSync('/a');
    // Made from the inside out: a path of this depth would be longer than most want to resolve.
    for (let i = 0; i < 5000; i++) {
      fs.mkdirSync('/b');
      fs.renameSync('/a', '/b/a');
      fs.renameSync('/b', '/a');
    }
    fs.rmSync('/a', { recursive: true });
    expect(fs.readdirSync('/')).toEqual([]);
  });

  it('end where a damaged tree contains itself', () => {
    /** `/a/loop` is `/a` itself. */
    class CircularFileSystem extends MemoryFileSystem {
      override lookup(directory: NodeId, name: string): NodeId | undefined {
        return name === 'loop' ? directory : super.lookup(directory, name);
      }
      override *entries(directory: NodeId): Iterable<DirectoryEntry> {
        yield* super.entries(directory);
        if (directory !== this.root) yield { name: 'loop', node: directory, kind: 'directory' };
      }
    }
    const fs = nodeFs(new CircularFileSystem());
    fs.mkdirSync('/a');
    fs.writeFileSync('/a/f', 'x');
    expect(fs.readdirSync('/', { recursive: true })).toEqual(['a', 'a/f', 'a/loop']);
    expect(() => fs.cpSync('/a', '/b', { recursive: true })).toThrow('ELOOP');
    expect(() => fs.rmSync('/a', { recursive: true })).toThrow(
      "ELOOP: too many symbolic links encountered, rm '/a'",
    );
  });

  it('keep names whose bytes are not UTF-8', () => {
    const fs = nodeFs(new MemoryFileSystem());
    const name = Buffer.from([0x2f, 0x61, 0xff, 0xfe]);
    fs.writeFileSync(name, 'x');
    expect(fs.readdirSync('/', 'buffer')).toEqual([name.subarray(1)]);
    expect(fs.readFileSync(`/${fs.readdirSync('/')[0]}`, 'utf8')).toBe('x');
  });

  it('owners and umask are those that were asked for', () => {
    const fs = nodeFs(new MemoryFileSystem(), { uid: 1000, gid: 100, umask: 0o077 });
    fs.writeFileSync('/f', '');
    fs.mkdirSync('/d');
    expect(fs.statSync('/f')).toMatchObject({ uid: 1000, gid: 100, mode: 0o100600 });
    expect(fs.statSync('/d')).toMatchObject({ uid: 1000, gid: 100, mode: 0o040700 });
    fs.chownSync('/f', 7, -1);
    expect(fs.statSync('/f')).toMatchObject({ uid: 7, gid: 100 });
  });
});

describe.each(['fat12', 'fat16', 'fat32'] as const)('nodeFs on %s', (format) => {
  function faceOn(): NodeFs {
    const device = new MemoryDevice(format === 'fat12' ? 1440 * 1024 : 64 << 20);
    formatDevice(device, format);
    return nodeFs(openFileSystem(device, { clock: systemClock }));
  }

  it('answers for what the format cannot hold as Linux does on vfat', () => {
    const fs = faceOn();
    fs.writeFileSync('/File.txt', 'x');
    expect(() => fs.symlinkSync('File.txt', '/l')).toThrow(
      "EPERM: operation not permitted, symlink 'File.txt' -> '/l'",
    );
    expect(() => fs.linkSync('/File.txt', '/l')).toThrow(
      "EPERM: operation not permitted, link '/File.txt' -> '/l'",
    );
    expect(() => fs.writeFileSync('/a:b', '')).toThrow("EINVAL: invalid argument, open '/a:b'");
    expect(fs.readdirSync('/')).toEqual(['File.txt']);
  });

  it('finds names in any case and keeps the one that was given', () => {
    const fs = faceOn();
    fs.mkdirSync('/Some Directory/b', { recursive: true });
    fs.writeFileSync('/some directory/B/Grüße.txt', 'Hallo');
    expect(fs.readFileSync('/SOME DIRECTORY/b/GRÜSSE.TXT'.replace('SS', 'ß'), 'utf8')).toBe('Hallo');
    expect(fs.readdirSync('/', { recursive: true })).toEqual([
      'Some Directory',
      'Some Directory/b',
      'Some Directory/b/Grüße.txt',
    ]);
    fs.cpSync('/some directory', '/copy', { recursive: true, preserveTimestamps: true });
    expect(fs.readFileSync('/copy/b/grüße.txt', 'utf8')).toBe('Hallo');
    fs.rmSync('/some directory', { recursive: true });
    expect(fs.readdirSync('/')).toEqual(['copy']);
  });

  it('keeps times in steps of two seconds', () => {
    const fs = faceOn();
    fs.writeFileSync('/f', '');
    fs.utimesSync('/f', 1_600_000_001, 1_600_000_001);
    expect(fs.statSync('/f').mtimeMs).toBe(1_600_000_000_000);
    expect(fs.statSync('/f').mode & 0o222).not.toBe(0);
  });
});

describe('the face without Node', () => {
  it('gives Uint8Array and knows UTF-8 and latin1', async () => {
    const fs = plainNodeFs(new MemoryFileSystem());
    fs.writeFileSync('/f', 'Grüße');
    expect(fs.readFileSync('/f')).toEqual(new Uint8Array([0x47, 0x72, 0xc3, 0xbc, 0xc3, 0x9f, 0x65]));
    expect(fs.readFileSync('/f', 'utf8')).toBe('Grüße');
    expect(await fs.promises.readFile('/f', 'latin1')).toBe('GrÃ¼Ã\u009fe');
    fs.writeFileSync('/g', new Uint8Array([0x61, 0xff]));
    expect(fs.readFileSync('/g', 'utf8')).toBe('a\ufffd');
    expect(() => fs.readFileSync('/g', 'utf16le')).toThrow('encoding');
    expect(fs.mkdtempSync('/t-')).toBe('/t-aaaaaa');
    expect(fs.mkdtempSync('/t-')).toBe('/t-aaaaab');
  });
});
