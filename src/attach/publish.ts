import fs from 'node:fs';
import { hasCode } from '../errors.ts';
import { makeFolders } from '../host/make-folders.ts';
import { MountFlag, nativeMountOperations } from '../host/native-mount.ts';
import { removeFile } from '../host/remove-file.ts';
import { changeClosedFolder, closeFolder } from './closed-folder.ts';
import { isDead, unmountLazily } from './dead-mount.ts';
import type { DeviceState } from './device-state.ts';
import type { Environment } from './environment.ts';

/**
 * The names under which programs find the device files, which themselves are in a folder of the device's own: links in
 * `dev` of the registry. In a folder that USERLOOP_DEV_FOLDER names, which is `/dev` in `userloop shell`, they are bind mounts: programs that
 * look whether a device is a link, or where it leads, see it as it would be.
 */
export function publishFolder(env: Environment, runtime: string): string {
  const wanted = env['USERLOOP_DEV_FOLDER'] ?? '';
  return wanted === '' ? `${runtime}/dev` : wanted;
}

/** Whether names are bind mounts: then the device files must be served before they are published. */
export function publishesByBinding(env: Environment): boolean {
  return (env['USERLOOP_DEV_FOLDER'] ?? '') !== '';
}

export class Publisher {
  readonly folder: string;
  readonly #files: string;
  readonly #bind: boolean;
  readonly #names = new Set<string>();

  /** `files`: where the device files are. */
  constructor(env: Environment, runtime: string, files: string) {
    this.folder = publishFolder(env, runtime);
    this.#files = files;
    this.#bind = this.folder !== `${runtime}/dev`;
    if (this.#bind) return;
    makeFolders(this.folder, 0o700);
    closeFolder(this.folder);
  }

  /** Makes these names be there and no other ones of the device. */
  update(names: readonly string[]): void {
    for (const name of this.#names) if (!names.includes(name)) this.#remove(name);
    for (const name of names) if (!this.#names.has(name)) this.#add(name);
  }

  close(): void {
    this.update([]);
  }

  #add(name: string): void {
    const place = `${this.folder}/${name}`;
    const file = `${this.#files}/${name}`;
    changeClosedFolder(this.folder, () => (this.#bind ? bindFile(file, place) : linkFile(file, place)));
    this.#names.add(name);
  }

  #remove(name: string): void {
    const place = `${this.folder}/${name}`;
    if (this.#bind) unmountLazily(place);
    changeClosedFolder(this.folder, () => (this.#bind ? removeMountPoint(place) : removeFile(place)));
    this.#names.delete(name);
  }
}

/** Removes what a killed process has published. */
export function unpublishAll(runtime: string, name: string, state: DeviceState | undefined): void {
  const files = `${runtime}/${name}/files/`;
  const links = `${runtime}/dev`;
  for (const link of readFolder(links)) {
    if (readLink(`${links}/${link}`)?.startsWith(files) === true)
      changeClosedFolder(links, () => removeFile(`${links}/${link}`));
  }
  if (state?.folder === undefined || state.folder === links) return;
  const { folder } = state;
  for (const view of state.views) {
    const place = `${folder}/${view.name}`;
    if (!isDead(place)) continue;
    unmountLazily(place);
    changeClosedFolder(folder, () => removeMountPoint(place));
  }
}

function linkFile(target: string, place: string): void {
  try {
    fs.symlinkSync(target, place);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    // Left by a process that was killed: the name is ours now.
    removeFile(place);
    fs.symlinkSync(target, place);
  }
}

function bindFile(source: string, place: string): void {
  try {
    fs.closeSync(fs.openSync(place, 'wx', 0o600));
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  nativeMountOperations()!.mount({ source, target: place, type: '', flags: MountFlag.bind });
}

function removeMountPoint(place: string): void {
  const stats = fs.lstatSync(place, { throwIfNoEntry: false });
  // The sockets that stand for devices that are not attached stay; what was made to bind to goes.
  if (stats?.isFile() === true && stats.size === 0) removeFile(place);
}

function readFolder(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

function readLink(link: string): string | undefined {
  try {
    return fs.readlinkSync(link);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'EINVAL')) return undefined;
    throw error;
  }
}
