import fs from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';
import type { MountOptions, MountRequest } from '../../src/attach/mount-request.ts';
import type { MountState } from '../../src/attach/device-state.ts';
import { Mounts } from '../../src/attach/mounts.ts';
import { type DeviceShare, createShareState } from '../../src/host/device-share.ts';
import { loadLibC } from '../../src/host/native-file.ts';
import { findTool, temporaryFolder } from './tools.ts';

/** Can this process mount FUSE? As root, or by fusermount3. */
export function canMount(): boolean {
  try {
    fs.accessSync('/dev/fuse', fs.constants.R_OK | fs.constants.W_OK);
  } catch {
    return false;
  }
  return loadLibC() !== undefined && (process.getuid!() === 0 || findTool('fusermount3') !== undefined);
}

/** A `describe` block that needs FUSE; under CI its absence is a failure. */
export function describeWithMounts(tools: readonly string[], name: string, body: () => void): void {
  const absent = tools.filter((tool) => findTool(tool) === undefined);
  if (!canMount()) absent.push('FUSE');
  if (absent.length > 0 && process.env['CI'] === 'true')
    throw new Error(`Under CI these must be there: ${absent.join(', ')}`);
  describe.skipIf(absent.length > 0)(`${name} [${['FUSE', ...tools].join(', ')}]`, body);
}

/** An image served as a device of this process, with file systems mounted from it. */
export class MountedImage {
  readonly share: DeviceShare;
  readonly mounts: Mounts;
  readonly log: string[] = [];
  #state: MountState | undefined;

  constructor(image: string, readOnly = false) {
    const fd = fs.openSync(image, readOnly ? 'r' : 'r+');
    this.share = {
      fd,
      path: image,
      offset: 0,
      sectorSize: 512,
      readOnly,
      state: createShareState(fs.fstatSync(fd).size),
    };
    this.mounts = new Mounts(this.share, () => {}, { log: (message) => this.log.push(message) });
  }

  get directory(): string {
    return this.#state!.directory;
  }

  async mount(options: Partial<MountOptions> = {}, request: Partial<MountRequest> = {}): Promise<MountState> {
    const directory = path.join(temporaryFolder(), 'mnt');
    fs.mkdirSync(directory);
    this.#state = await this.mounts.mount(
      {
        view: 'loop0',
        directory,
        // No test attaches that one: whoever unmounts by the name of a device must not find this mount.
        source: '/dev/loop177',
        uid: process.getuid!(),
        ...request,
        options: { readOnly: false, text: 'rw', ...options },
      },
      { offset: 0, size: fs.fstatSync(this.share.fd).size },
    );
    return this.#state;
  }

  async unmount(): Promise<void> {
    await this.mounts.unmount(this.directory, {});
  }

  /** Also after a failure: whatever is mounted goes. */
  async close(): Promise<void> {
    try {
      await this.mounts.close();
    } finally {
      fs.closeSync(this.share.fd);
    }
  }
}
