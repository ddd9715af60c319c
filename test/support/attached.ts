import fs from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';
import { detachDevice } from '../../src/attach/client.ts';
import type { AttachRequest, DeviceState } from '../../src/attach/device-state.ts';
import { listDevices } from '../../src/attach/registry.ts';
import { unmountLazily } from '../../src/attach/dead-mount.ts';
import { readMountTable } from '../../src/host/mount-table.ts';
import { nativeMountOperations } from '../../src/host/native-mount.ts';
import { execFileSync } from './programs.ts';
import { findTool, temporaryFolder } from './tools.ts';

/** Devices of a test: in a registry of its own, with processes from the build. */
export class AttachedTest {
  readonly folder = fs.realpathSync(temporaryFolder());
  readonly runtime = `${this.folder}/r`;
  readonly env: Record<string, string | undefined> = {
    ...process.env,
    USERLOOP_RUNTIME_DIR: this.runtime,
    USERLOOP_BACKEND: 'user',
  };

  /** A sparse file of that many bytes. */
  image(name: string, size: number): string {
    const file = path.join(this.folder, name);
    fs.writeFileSync(file, '');
    fs.truncateSync(file, size);
    return file;
  }

  list(): DeviceState[] {
    return listDevices(this.env);
  }

  /** What is left behind of devices; empty when all is as before. */
  leftovers(): string[] {
    const names = fs.existsSync(this.runtime) ? fs.readdirSync(this.runtime) : [];
    const links = names.includes('dev') ? fs.readdirSync(`${this.runtime}/dev`) : [];
    const mounts = readMountTable().filter(({ directory }) => directory.startsWith(`${this.folder}/`));
    return [
      ...names.filter((name) => name !== 'dev'),
      ...links,
      ...mounts.map(({ directory }) => directory),
      ...processesOf(this.folder),
    ];
  }

  /** However the test went. */
  async end(): Promise<void> {
    for (const state of this.list()) {
      await detachDevice(state, { force: true }).catch(() => process.kill(state.pid, 'SIGKILL'));
    }
    for (const { directory } of readMountTable().toReversed()) {
      if (directory.startsWith(`${this.folder}/`)) unmountLazily(directory);
    }
  }
}

/** Processes behind devices of images in the folder, by what they call themselves. */
function processesOf(folder: string): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      } catch {
        return '';
      }
    })
    .filter((line) => line.startsWith('userloop ') && line.includes(folder));
}

/** A `describe` block that needs FUSE and these programs. Where FUSE is not to be had it is skipped; under CI an absent program is a failure. */
export function describeWithDevices(tools: readonly string[], name: string, body: () => void): void {
  const absent = tools.filter((tool) => findTool(tool) === undefined);
  if (absent.length > 0 && process.env['CI'] === 'true')
    throw new Error(`Under CI these tools must be there: ${absent.join(', ')}`);
  describe.skipIf(absent.length > 0 || !canUseFuse())(
    `${name} [FUSE${tools.map((tool) => `, ${tool}`).join('')}]`,
    body,
  );
}

export function canUseFuse(): boolean {
  try {
    fs.closeSync(fs.openSync('/dev/fuse', 'r+'));
  } catch {
    return false;
  }
  return nativeMountOperations() !== undefined && (process.getuid?.() === 0 || hasFusermount());
}

function hasFusermount(): boolean {
  if (findTool('fusermount3') === undefined) return false;
  execFileSync(findTool('fusermount3')!, ['--version'], { stdio: 'ignore' });
  return true;
}

/** To attach a whole image with its files; `more` says what else. */
export function loopRequest(image: string, more: Partial<AttachRequest> = {}): AttachRequest {
  return {
    family: 'loop',
    source: 'vnode',
    image,
    offset: 0,
    sizeLimit: 0,
    sectorSize: 512,
    readOnly: false,
    autoclear: false,
    partitionScan: false,
    directIo: false,
    files: true,
    ...more,
  };
}
