import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type BlockDevice, discardRange, extentsOf, zeroRange } from '../../src/device/block-device.ts';
import { UsageError } from '../../src/errors.ts';
import { openNbdDevice } from '../../src/host/nbd-client-device.ts';
import { parseNbdUri } from '../../src/host/nbd-uri.ts';
import { type NbdServer, startNbdServer } from '../support/nbd-server.ts';
import { spawnSync } from '../support/programs.ts';
import { describeWithTools, findTool, runTool, temporaryFolder } from '../support/tools.ts';
import { isListening, until } from '../support/until.ts';

const MIB = 1 << 20;
const folder = temporaryFolder();
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});

let count = 0;

function emptyFile(size: number): string {
  const file = path.join(folder, `image${count++}`);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, size);
  return file;
}

/** A server program that serves a unix socket until the test ends. */
async function serve(name: string, args: (socket: string) => string[]): Promise<string> {
  const socket = path.join(folder, `s${count++}`);
  children.push(spawn(findTool(name)!, args(socket), { stdio: ['ignore', 'ignore', 'inherit'] }));
  await until(() => isListening(socket), `${name} does not start`);
  return socket;
}

/** Random reads, writes, zeroes and discards against a copy in memory. */
function exercise(device: BlockDevice, rounds: number): void {
  const model = new Uint8Array(device.size);
  zeroRange(device, 0, device.size);
  let state = 4711;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
  for (let round = 0; round < rounds; round++) {
    const length = 1 + random(round % 10 === 0 ? MIB : 20_000);
    const offset = random(device.size - length);
    const kind = random(6);
    if (kind < 3) {
      const data = new Uint8Array(length).map((_, index) => index * round);
      device.write(offset, data);
      model.set(data, offset);
    } else if (kind === 3) {
      zeroRange(device, offset, length);
      model.fill(0, offset, offset + length);
    }
    const back = new Uint8Array(length);
    device.read(offset, back);
    expect(Buffer.compare(back, model.subarray(offset, offset + length))).toBe(0);
  }
  device.flush();
  let end = 0;
  for (const extent of extentsOf(device, 0, device.size)) {
    expect(extent.offset).toBe(end);
    end += extent.length;
    if (extent.kind !== 'data')
      expect(model.subarray(extent.offset, end).every((byte) => byte === 0)).toBe(true);
  }
  expect(end).toBe(device.size);
  discardRange(device, 0, device.size);
}

function exerciseAt(uri: string, rounds = 60): void {
  const device = openNbdDevice(uri);
  try {
    exercise(device, rounds);
  } finally {
    device.close();
  }
}

describeWithTools(['nbdkit'], 'our client at nbdkit', () => {
  it('reads and writes what it should', async () => {
    const socket = await serve('nbdkit', (at) => ['-f', '-U', at, 'file', emptyFile(4 * MIB)]);
    exerciseAt(`nbd+unix:///?socket=${socket}`);
  });

  it('widens requests to blocks, where the server insists on them', async () => {
    const socket = await serve('nbdkit', (at) => [
      '-f',
      '-U',
      at,
      '--filter=blocksize-policy',
      'memory',
      '4M',
      'blocksize-minimum=4096',
      'blocksize-maximum=64k',
      'blocksize-error-policy=error',
    ]);
    exerciseAt(`nbd+unix:///?socket=${socket}`);
  });

  it('takes simple replies from a server that has no others', async () => {
    const socket = await serve('nbdkit', (at) => ['-f', '-U', at, '--no-sr', 'memory', '4M']);
    exerciseAt(`nbd+unix:///?socket=${socket}`);
  });

  it('writes zeros and discards nothing where the server can neither', async () => {
    const options = ['--filter=nozero', 'memory', '4M', 'zeromode=none'];
    const socket = await serve('nbdkit', (at) => ['-f', '-U', at, ...options]);
    exerciseAt(`nbd+unix:///?socket=${socket}`);
  });

  it('tells the errors of the server, and goes on after them', async () => {
    const socket = await serve('nbdkit', (at) => [
      '-f',
      '-U',
      at,
      '--filter=error',
      'memory',
      '1M',
      'error-pwrite=ENOSPC',
      'error-pwrite-rate=100%',
    ]);
    const device = openNbdDevice(`nbd+unix:///?socket=${socket}`);
    expect(() => device.write(0, new Uint8Array(512))).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    device.read(0, new Uint8Array(512));
    device.close();
  });

  it('does not write to what is read-only', async () => {
    const socket = await serve('nbdkit', (at) => ['-f', '-r', '-U', at, 'memory', '1M']);
    const uri = `nbd+unix:///?socket=${socket}`;
    const device = openNbdDevice(uri);
    expect(device.readOnly).toBe(true);
    expect(() => device.write(0, new Uint8Array(512))).toThrow(expect.objectContaining({ code: 'EROFS' }));
    device.close();
    expect(() => openNbdDevice(uri, { readOnly: false })).toThrow(expect.objectContaining({ code: 'EROFS' }));
  });

  it('says that the server has gone, each time it is asked', async () => {
    const socket = await serve('nbdkit', (at) => ['-f', '-U', at, 'memory', '1M']);
    const device = openNbdDevice(`nbd+unix:///?socket=${socket}`);
    const child = children.pop()!;
    child.kill('SIGKILL');
    await once(child, 'exit');
    for (let again = 0; again < 2; again++)
      expect(() => device.read(0, new Uint8Array(512))).toThrow(/closed the connection.*nbd\+unix/u);
    device.close();
  });
});

describeWithTools(['qemu-nbd'], 'our client at qemu-nbd', () => {
  it('reads and writes what it should, by the name of the export', async () => {
    const file = emptyFile(4 * MIB);
    const socket = await serve('qemu-nbd', (at) => ['-t', '-f', 'raw', '-x', 'disk one', '-k', at, file]);
    expect(() => openNbdDevice(`nbd+unix:///other?socket=${socket}`)).toThrow(/no such export/u);
    exerciseAt(`nbd+unix:///disk%20one?socket=${socket}`);
  });
});

describe('our client at our server', () => {
  it('reads and writes what it should, over a unix socket and over TCP', async () => {
    const server = await startNbdServer({
      file: emptyFile(4 * MIB),
      tcp: { host: '127.0.0.1', port: 0 },
    });
    try {
      exerciseAt(server.uri());
      exerciseAt(`nbd://${server.address!}/loop0`);
    } finally {
      await server.stop();
    }
  });

  it('names what cannot be reached', () => {
    expect(() => openNbdDevice('nbd+unix:///?socket=/nonexistent/socket')).toThrow(/\/nonexistent\/socket/u);
    expect(() => openNbdDevice('nbd://127.0.0.1:1/x')).toThrow(/ECONNREFUSED.*nbd:\/\/127.0.0.1:1\/x/u);
  });
});

describe('the URI of an export', () => {
  it('is taken apart as its specification says', () => {
    const parse = (uri: string) => parseNbdUri(uri, '/home');
    expect(parse('nbd://example.com')).toMatchObject({ host: 'example.com', port: 10809, exportName: '' });
    expect(parse('nbd://example.com:1//disk')).toMatchObject({ port: 1, exportName: '/disk' });
    expect(parse('nbd://[::1]/hello%20world')).toMatchObject({ host: '::1', exportName: 'hello world' });
    expect(parse('nbd+unix:///x?socket=a/b')).toMatchObject({ socket: '/home/a/b', exportName: 'x' });
    expect(parse('nbds://bob@h/?tls-psk-file=k')).toMatchObject({
      tls: { username: 'bob', pskFile: '/home/k', verifyPeer: true },
    });
  });

  it.each([
    'nbd:///x',
    'nbd+unix:///x',
    'nbd://h/?socket=/x',
    'nbd://h/?tls-psk-file=x',
    'nbds://h/?tls-psk-file=x&tls-certificates=y',
    'nbds://h/?tls-type=psk',
    'nbd://h/?colour=red',
    'nbd://h/%zz',
  ])('%s is refused', (uri) => {
    expect(() => parseNbdUri(uri, '/')).toThrow(UsageError);
  });
});

describeWithTools(['certtool', 'nbdinfo', 'nbdcopy', 'nbdkit'], 'TLS', () => {
  const keys = path.join(folder, 'keys');
  const pskFile = path.join(folder, 'users.psk');
  let server: NbdServer;

  beforeAll(async () => {
    makeCertificates(keys);
    fs.writeFileSync(
      pskFile,
      'alice:00112233445566778899aabbccddeeff\nbob:ffeeddccbbaa99887766554433221100\n',
    );
    const tls = { certificates: keys, pskFile, require: true };
    server = await startNbdServer({ file: emptyFile(4 * MIB), tcp: { host: '', port: 0, tls } });
  });
  afterAll(async () => {
    await server.stop();
  });

  const uris = () => {
    const port = server.address!.split(':')[1]!;
    return [
      `nbds://localhost:${port}/?tls-certificates=${keys}`,
      `nbds://alice@localhost:${port}/?tls-psk-file=${pskFile}`,
    ];
  };

  it('is spoken with libnbd, by certificate and by pre-shared key', () => {
    const source = path.join(folder, 'plain');
    fs.writeFileSync(source, Buffer.alloc(4 * MIB, 0x3c));
    for (const uri of uris()) {
      expect(runTool('nbdinfo', [uri]).stdout).toMatch(/with TLS/u);
      expect(runTool('nbdcopy', ['--connections=2', source, uri])).toMatchObject({ status: 0, stderr: '' });
      expect(Buffer.compare(fs.readFileSync(server.file), fs.readFileSync(source))).toBe(0);
      const out = path.join(folder, 'back');
      fs.rmSync(out, { force: true });
      expect(runTool('nbdcopy', [uri, out])).toMatchObject({ status: 0, stderr: '' });
      expect(Buffer.compare(fs.readFileSync(out), fs.readFileSync(source))).toBe(0);
    }
  });

  it('is required: nobody gets in without, or with another key', () => {
    const plain = `nbd://${server.address!}/`;
    expect(runTool('nbdinfo', [plain])).toMatchObject({ status: 1 });
    expect(() => openNbdDevice(plain)).toThrow(/requires TLS/u);
    const wrong = path.join(folder, 'wrong.psk');
    fs.writeFileSync(wrong, 'alice:00000000000000000000000000000000\n');
    const other = uris()[1]!.replace(pskFile, wrong);
    expect(runTool('nbdinfo', [other]).status).not.toBe(0);
    expect(() => openNbdDevice(other)).toThrow();
    expect(() => openNbdDevice(uris()[0]!.replace(/\?.*/u, ''))).toThrow(/certificate/u);
  });

  it('is spoken by our client with our server and with nbdkit', async () => {
    for (const uri of uris()) exerciseAt(uri, 20);
    const socket = await serve('nbdkit', (at) => [
      '-f',
      '-U',
      at,
      '--tls=require',
      `--tls-certificates=${keys}`,
      'memory',
      '4M',
    ]);
    exerciseAt(`nbds+unix:///?socket=${socket}&tls-certificates=${keys}&tls-hostname=localhost`, 20);
    const psk = await serve('nbdkit', (at) => [
      '-f',
      '-U',
      at,
      '--tls=require',
      `--tls-psk=${pskFile}`,
      'memory',
      '4M',
    ]);
    exerciseAt(`nbds+unix:///?socket=${psk}&tls-psk-file=${pskFile}&tls-username=bob`, 20);
  });
});

/** A certificate authority of one server, `localhost`. */
function makeCertificates(into: string): void {
  fs.mkdirSync(into);
  const run = (args: string[]) => {
    const result = spawnSync(findTool('certtool')!, args, { cwd: into, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(result.stderr);
  };
  fs.writeFileSync(`${into}/ca.info`, 'cn = test\nca\ncert_signing_key\nexpiration_days = 2\n');
  fs.writeFileSync(
    `${into}/server.info`,
    'cn = localhost\ndns_name = localhost\ntls_www_server\nencryption_key\nsigning_key\nexpiration_days = 2\n',
  );
  run(['--generate-privkey', '--sec-param=medium', '--outfile=ca-key.pem']);
  run(['--generate-self-signed', '--load-privkey=ca-key.pem', '--template=ca.info', '--outfile=ca-cert.pem']);
  run(['--generate-privkey', '--sec-param=medium', '--outfile=server-key.pem']);
  run([
    '--generate-certificate',
    '--load-privkey=server-key.pem',
    '--load-ca-certificate=ca-cert.pem',
    '--load-ca-privkey=ca-key.pem',
    '--template=server.info',
    '--outfile=server-cert.pem',
  ]);
}
