import fs from 'node:fs';
import { closeMount } from '../../attach/closed-folder.ts';
import { FsError, hasCode } from '../../errors.ts';
import { nativeNodeOperations } from '../../host/native-node.ts';
import { bindFile, bindTree, makeFolderPrivate } from '../../host/private-folder.ts';
import { hideMounts } from '../../host/private-root.ts';
import { REGISTRY } from '../registry.ts';
import { SHELL_APPLETS } from './applets.ts';
import { isDeviceName, UNATTACHED_NAMES } from './device-names.ts';
import { BASH_START, ZSH_ENVIRONMENT, ZSH_START } from './prompt.ts';

/**
 * Where the things of the shell itself are. In its /dev, because that is a file system of its own: it vanishes with the last
 * process that is in the namespace, however that ends.
 */
export const SHELL_FOLDER = '/dev/.userloop';
/** Links of the commands that stand in for the machine's own. */
export const APPLETS_FOLDER = `${SHELL_FOLDER}/bin`;
/** Links of the commands that the machine may lack. */
export const FALLBACK_FOLDER = `${SHELL_FOLDER}/fallback`;

export interface Furnishing {
  /** An empty folder of ours. */
  readonly staging: string;
  /** bin/userloop, absolute. */
  readonly program: string;
}

/** Makes the namespace that this process is in the one of the shell: /dev, /etc/fstab and /mnt. */
export function furnishNamespace({ staging, program }: Furnishing): void {
  // mke2fs and its like look there whether the device of that name is mounted; the host's is another one.
  hideMounts((source) => source.startsWith('/dev/') && isDeviceName(source.slice('/dev/'.length)), staging);
  makeFolderPrivate('/dev', {
    staging,
    // The node that makes pseudo terminals finds its file system beside itself: it needs the folder around it.
    keep: (name) => !isDeviceName(name) && name !== 'ptmx' && name !== '.userloop' && name !== '.host',
    furnish(folder) {
      const hostFolder = `${folder}/.host`;
      fs.mkdirSync(hostFolder, { mode: 0o755 });
      // In a shell within a shell the folder of the host is already there.
      bindTree(fs.existsSync('/dev/.host') ? '/dev/.host' : '/dev', hostFolder);
      if (fs.existsSync(`${hostFolder}/ptmx`)) fs.symlinkSync('.host/ptmx', `${folder}/ptmx`);
      for (const name of UNATTACHED_NAMES) makeUnattached(`${folder}/${name}`);
      makeShellFolder(`${folder}/.userloop`, program);
    },
  });
  makeTablePrivate(staging);
  if (!writable('/mnt')) {
    ifPossible(() => makeFolderPrivate('/mnt', { staging }));
  }
  closeMount('/dev');
}

/** A socket without a process: opening it gives ENXIO, "No such device or address", as a device without a medium does. */
function makeUnattached(path: string): void {
  const errno = nativeNodeOperations()?.makeNode(path, 'socket', 0o660, { major: 0, minor: 0 });
  if (errno !== 0) throw new FsError('ENOSYS', { syscall: 'mknod', path });
}

function makeShellFolder(folder: string, program: string): void {
  for (const part of ['', '/bin', '/fallback', '/zsh']) fs.mkdirSync(folder + part);
  for (const name of SHELL_APPLETS) fs.symlinkSync(program, `${folder}/bin/${name}`);
  fs.symlinkSync(program, `${folder}/bin/userloop`);
  for (const { kind, names } of REGISTRY) {
    if (kind !== 'applet') continue;
    for (const name of names) fs.symlinkSync(program, `${folder}/fallback/${name}`);
  }
  // Our commands start by `env node`.
  fs.symlinkSync(process.execPath, `${folder}/fallback/node`);
  fs.writeFileSync(`${folder}/bashrc`, BASH_START);
  fs.writeFileSync(`${folder}/zsh/.zshenv`, ZSH_ENVIRONMENT);
  fs.writeFileSync(`${folder}/zsh/.zshrc`, ZSH_START);
}

/** A copy of /etc/fstab that can be written: what is added to it is there as long as the shell is. */
function makeTablePrivate(staging: string): void {
  const copy = `${SHELL_FOLDER}/fstab`;
  if (fs.existsSync('/etc/fstab')) {
    fs.writeFileSync(copy, readable('/etc/fstab'));
    bindFile(copy, '/etc/fstab');
    return;
  }
  // A machine without one: a container.
  ifPossible(() =>
    makeFolderPrivate('/etc', { staging, furnish: (folder) => fs.writeFileSync(`${folder}/fstab`, '') }),
  );
}

function readable(file: string): Uint8Array {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if (hasCode(error, 'EACCES')) return new Uint8Array();
    throw error;
  }
}

function writable(folder: string): boolean {
  try {
    fs.accessSync(folder, fs.constants.W_OK);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    for (const code of ['EACCES', 'EROFS', 'EPERM']) if (hasCode(error, code)) return false;
    throw error;
  }
}

/** For what is convenient and not necessary. */
function ifPossible(make: () => void): void {
  try {
    make();
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
  }
}
