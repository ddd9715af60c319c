import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWithMounts } from '../support/mounted.ts';
import { type NbdServer, startNbdServer } from '../support/nbd-server.ts';
import { describeWithTools, findTool, firstDifference, runTool, temporaryFolder } from '../support/tools.ts';
import { until } from '../support/until.ts';

const MIB = 1 << 20;
const folder = temporaryFolder();

/** A file with data of no pattern, and a hole in the middle. */
function randomFile(name: string, size: number): string {
  const file = path.join(folder, name);
  const words = new Int32Array(size / 4);
  let state = 0x2545f491;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  const data = Buffer.from(words.buffer);
  const fd = fs.openSync(file, 'w');
  fs.ftruncateSync(fd, size);
  fs.writeSync(fd, data, 0, size / 4, 0);
  fs.writeSync(fd, data, size / 2, size / 2, size / 2);
  fs.closeSync(fd);
  return file;
}

function emptyFile(name: string, size: number): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, size);
  return file;
}

function expectSuccess(name: string, args: readonly string[], input?: string): string {
  const result = runTool(name, args, input === undefined ? {} : { input });
  expect(`${name}: ${result.status} ${result.stderr}`).toBe(`${name}: 0 `);
  return result.stdout;
}

const VARIANTS: readonly (readonly [string, Record<string, string>])[] = [
  ['', {}],
  [', without foreign calls', { USERLOOP_NO_FFI: '1' }],
];
const SUITE = ['nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io', 'qemu-nbd', 'fio'];

for (const [variant, env] of VARIANTS) {
  const isNative = variant === '';

  describeWithTools(SUITE, `the NBD server${variant}`, () => {
    let server: NbdServer;
    let source: string;
    beforeAll(async () => {
      source = randomFile(`source${variant.length}`, 24 * MIB);
      server = await startNbdServer({ file: emptyFile(`served${variant.length}`, 24 * MIB), env });
    });
    afterAll(async () => {
      await server.stop();
    });

    it('is as nbdinfo wants it', () => {
      const info = JSON.parse(expectSuccess('nbdinfo', ['--json', server.uri()])) as { exports: object[] };
      expect(info).toMatchObject({ protocol: 'newstyle-fixed', TLS: false, structured: true });
      expect(info.exports[0]).toMatchObject({
        'export-name': '',
        'export-size': 24 * MIB,
        is_read_only: false,
        can_cache: true,
        can_df: true,
        can_fast_zero: isNative,
        can_flush: true,
        can_fua: true,
        can_multi_conn: true,
        can_trim: isNative,
        can_zero: true,
        block_size_minimum: 1,
        block_size_preferred: 4096,
        block_size_maximum: 32 * MIB,
        contexts: ['base:allocation'],
      });
    });

    it('takes and gives the same bytes to nbdcopy over 1 and 4 connections, with requests small and large', () => {
      for (const [connections, requestSize] of [
        [4, 256 << 10],
        [1, 32 * MIB],
        [4, 8192],
      ]) {
        const out = path.join(folder, 'out');
        fs.rmSync(out, { force: true });
        const options = [`--connections=${connections}`, `--request-size=${requestSize}`, '--flush'];
        expectSuccess('nbdcopy', [...options, source, server.uri()]);
        expect(firstDifference(source, server.file)).toBeUndefined();
        expectSuccess('nbdcopy', [...options, server.uri(), out]);
        expect(firstDifference(source, out)).toBeUndefined();
      }
    });

    it('is the same image to qemu-img', () => {
      const out = path.join(folder, 'out.qcow2');
      expectSuccess('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, server.uri()]);
      expectSuccess('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source, server.uri()]);
      expectSuccess('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', server.uri(), out]);
      expectSuccess('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', source, out]);
      const info = JSON.parse(expectSuccess('qemu-img', ['info', '--output=json', server.uri()])) as object;
      expect(info).toMatchObject({ 'virtual-size': 24 * MIB, format: 'raw' });
    });

    it('does what qemu-io asks of it', () => {
      const commands = [
        'write -P 0x5a 1000 70000',
        'read -P 0x5a 1000 70000',
        'read -P 0x5a 1513 1023',
        'write -P 0x11 -f 2M 64k',
        'write -z 3M 1M',
        'read -P 0 3M 1M',
        'write -P 0x22 4M 1M',
        'write -z -u 4M 512k',
        'read -P 0 4M 512k',
        'read -P 0x22 4608k 512k',
        'discard 4M 1M',
        'flush',
        'write -P 0x33 20M 4M',
        'read -P 0x33 20M 4M',
      ];
      const args = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), server.uri()];
      expect(expectSuccess('qemu-io', args)).not.toMatch(/fail|error|differ/iu);
    });

    it('tells its holes to nbdinfo and qemu-img, or that it knows of none', () => {
      fs.truncateSync(server.file, 0);
      fs.truncateSync(server.file, 24 * MIB);
      const fd = fs.openSync(server.file, 'r+');
      fs.writeSync(fd, Buffer.alloc(65536, 1), 0, 65536, 8 * MIB);
      fs.closeSync(fd);
      const map = JSON.parse(expectSuccess('nbdinfo', ['--map', '--json', server.uri()])) as object[];
      const hole = { type: 3, description: 'hole,zero' };
      expect(map).toEqual(
        isNative
          ? [
              { offset: 0, length: 8 * MIB, ...hole },
              { offset: 8 * MIB, length: 65536, type: 0, description: 'data' },
              { offset: 8 * MIB + 65536, length: 16 * MIB - 65536, ...hole },
            ]
          : [{ offset: 0, length: 24 * MIB, type: 0, description: 'data' }],
      );
      const qemu = JSON.parse(expectSuccess('qemu-img', ['map', '--output=json', server.uri()])) as object[];
      expect(qemu).toHaveLength(isNative ? 3 : 1);
    });

    it('lists its exports to qemu-nbd', () => {
      expect(expectSuccess('qemu-nbd', ['-L', '-k', server.socket])).toMatch(/exports available: 1/u);
    });

    it('gives back what fio wrote, at odd sizes and depth 16', () => {
      const out = expectSuccess('fio', [
        '--name=v',
        '--ioengine=nbd',
        `--uri=${server.uri()}`,
        '--rw=randwrite',
        '--bsrange=512-300k',
        '--verify=crc32c',
        '--verify_state_save=0',
        '--size=24M',
        '--loops=3',
        '--iodepth=16',
      ]);
      expect(out).toMatch(/err= 0/u);
    });
  });
}

describeWithTools(['nbdinfo', 'sfdisk', 'qemu-io'], 'the exports of a partitioned device', () => {
  it('are the partitions, by name and by number, as they are when the client comes', async () => {
    const file = emptyFile('parts', 16 * MIB);
    const server = await startNbdServer({ file, unit: 3 });
    const list = () => {
      const out = expectSuccess('nbdinfo', ['--list', '--json', server.uri()]);
      return (JSON.parse(out) as { exports: object[] }).exports;
    };
    try {
      expect(list()).toHaveLength(1);
      expectSuccess('sfdisk', ['-q', file], 'start=2048, size=8192, type=83\nstart=16384, type=c\n');
      expect(list()).toMatchObject([
        { 'export-name': '', 'export-size': 16 * MIB },
        { 'export-name': 'loop3p1', 'export-size': 4 * MIB },
        { 'export-name': 'loop3p2', 'export-size': 8 * MIB },
      ]);
      expect(expectSuccess('nbdinfo', ['--size', server.uri('2')])).toBe(`${8 * MIB}\n`);
      expect(expectSuccess('nbdinfo', ['--size', server.uri('loop3')])).toBe(`${16 * MIB}\n`);
      const fill = ['-f', 'raw', '-c', 'write -P 0x77 0 4M', '-c', 'flush', server.uri('loop3p1')];
      expectSuccess('qemu-io', fill);
      const bytes = fs.readFileSync(file);
      expect(Buffer.compare(bytes.subarray(MIB, 5 * MIB), Buffer.alloc(4 * MIB, 0x77))).toBe(0);
      expect([bytes[MIB - 1], bytes[5 * MIB]]).toEqual([0, 0]);
      expect(runTool('nbdinfo', ['--size', server.uri('3')]).status).not.toBe(0);
    } finally {
      await server.stop();
    }
  });
});

describeWithTools(['nbdinfo', 'qemu-io'], 'a device that is read-only', () => {
  it('says so and takes no writes', async () => {
    const server = await startNbdServer({ file: emptyFile('ro', MIB), readOnly: true });
    try {
      expect(expectSuccess('nbdinfo', [server.uri()])).toMatch(/is_read_only: true/u);
      expect(runTool('qemu-io', ['-f', 'raw', '-c', 'write 0 512', server.uri()]).status).not.toBe(0);
    } finally {
      await server.stop();
    }
  });
});

describeWithTools(['nbdkit', 'nbdcopy'], "nbdkit's nbd plugin", () => {
  it('passes our export on', async () => {
    const source = randomFile('pass', 8 * MIB);
    const server = await startNbdServer({ file: emptyFile('passed', 8 * MIB) });
    try {
      const run = `nbdcopy --connections=4 '${source}' "$uri" && nbdcopy "$uri" '${folder}/back'`;
      expectSuccess('nbdkit', ['-U', '-', 'nbd', `uri=${server.uri()}`, '--run', run]);
      expect(firstDifference(source, server.file)).toBeUndefined();
      expect(firstDifference(source, `${folder}/back`)).toBeUndefined();
    } finally {
      await server.stop();
    }
  });
});

describeWithMounts(['nbdfuse', 'fusermount3'], 'nbdfuse', () => {
  it('shows our export as a file', async () => {
    const server = await startNbdServer({ file: randomFile('fuse', 8 * MIB) });
    const mount = path.join(folder, 'mnt');
    fs.mkdirSync(mount);
    const child = spawn(findTool('nbdfuse')!, [mount, server.uri()], { stdio: 'inherit' });
    try {
      await until(() => fs.existsSync(`${mount}/nbd`), 'nbdfuse does not start');
      expect(firstDifference(server.file, `${mount}/nbd`)).toBeUndefined();
      const fd = fs.openSync(`${mount}/nbd`, 'r+');
      fs.writeSync(fd, Buffer.alloc(100_000, 9), 0, 100_000, 12_345);
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      const bytes = fs.readFileSync(server.file).subarray(12_345, 112_345);
      expect(Buffer.compare(bytes, Buffer.alloc(100_000, 9))).toBe(0);
    } finally {
      runTool('fusermount3', ['-u', mount]);
      if (child.exitCode === null) await once(child, 'exit');
      await server.stop();
    }
  });
});
