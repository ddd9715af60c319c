import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { newFolder } from './new-folder.ts';
import { findTool, runTool } from './tools.ts';

/** A tree as one line a node: what two readers of the same volume must agree on. */
export type TreeLines = Record<string, string>;

const KIND_LETTERS = {
  file: 'f',
  directory: 'd',
  symlink: 'l',
  'character-device': 'c',
  'block-device': 'b',
  fifo: 'p',
  socket: 's',
} as const;

export interface TreeOptions {
  /** Times and the directories' sizes differ between a copy and its original. */
  readonly times?: boolean;
  readonly xattrs?: boolean;
}

export function treeOfVolume(volume: FileSystem, options: TreeOptions = {}): TreeLines {
  const lines: TreeLines = {};
  const names = new Map<number, string>();
  function visit(node: NodeId, name: string): void {
    const attributes = volume.attributes(node);
    const facts = [
      KIND_LETTERS[attributes.kind],
      attributes.mode.toString(8),
      attributes.uid,
      attributes.gid,
      attributes.kind === 'directory' ? attributes.linkCount : (names.get(node) ?? attributes.linkCount),
    ];
    if (attributes.kind !== 'directory') names.set(node, name);
    if (attributes.device !== undefined) facts.push(attributes.device.major, attributes.device.minor);
    if (attributes.kind === 'symlink') facts.push(volume.readLink(node));
    if (attributes.kind === 'file') facts.push(attributes.size, hashOf(volume, node, attributes.size));
    if (options.times === true) {
      facts.push(`${attributes.mtime.seconds}.${String(attributes.mtime.nanoseconds).padStart(9, '0')}`);
      facts.push(`${attributes.allocated}`);
    }
    if (options.xattrs === true) {
      for (const xattr of volume.listXattrs(node)) {
        facts.push(`${xattr}=${Buffer.from(volume.getXattr(node, xattr)!).toString('hex')}`);
      }
    }
    lines[name] = facts.join(' ');
    if (attributes.kind !== 'directory') return;
    const entries = [...volume.entries(node)].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (name === '' && entry.name === 'lost+found') continue;
      if (entry.kind !== volume.attributes(entry.node).kind) facts.push('wrong kind');
      visit(entry.node, `${name}/${entry.name}`);
    }
  }
  visit(volume.root, '');
  return lines;
}

export function treeOfHost(root: string, options: TreeOptions = {}): TreeLines {
  const lines: TreeLines = {};
  const xattrs = options.xattrs === true ? xattrsOfHost(root) : new Map<string, string[]>();
  const names = new Map<bigint, string>();
  function visit(file: string, name: string): void {
    const stats = fs.lstatSync(file, { bigint: true });
    const kind = stats.isDirectory()
      ? 'd'
      : stats.isSymbolicLink()
        ? 'l'
        : stats.isFile()
          ? 'f'
          : stats.isCharacterDevice()
            ? 'c'
            : stats.isBlockDevice()
              ? 'b'
              : stats.isFIFO()
                ? 'p'
                : 's';
    const facts: (string | number | bigint)[] = [
      kind,
      (Number(stats.mode) & 0o7777).toString(8),
      stats.uid,
      stats.gid,
      kind === 'd' ? stats.nlink : (names.get(stats.ino) ?? stats.nlink),
    ];
    if (kind !== 'd') names.set(stats.ino, name);
    if (kind === 'b' || kind === 'c') {
      const device = Number(stats.rdev);
      facts.push((device >>> 8) & 0xfff, (device & 0xff) | ((device >>> 12) & 0xfff00));
    }
    if (kind === 'l') facts.push(fs.readlinkSync(file));
    if (kind === 'f') {
      const hash = createHash('sha1');
      const fd = fs.openSync(file, 'r');
      const buffer = Buffer.alloc(1 << 20);
      for (let count; (count = fs.readSync(fd, buffer)) > 0;) hash.update(buffer.subarray(0, count));
      fs.closeSync(fd);
      facts.push(stats.size, hash.digest('hex'));
    }
    if (options.times === true) {
      facts.push(
        `${stats.mtimeNs / 1_000_000_000n}.${String(stats.mtimeNs % 1_000_000_000n).padStart(9, '0')}`,
      );
      facts.push(`${stats.blocks * 512n}`);
    }
    facts.push(...(xattrs.get(file) ?? []));
    lines[name] = facts.join(' ');
    if (kind !== 'd') return;
    for (const entry of fs.readdirSync(file).sort((a, b) => (a < b ? -1 : 1))) {
      if (name === '' && entry === 'lost+found') continue;
      visit(path.join(file, entry), `${name}/${entry}`);
    }
  }
  visit(root, '');
  return lines;
}

/** The attributes of everything below a folder, as `name=hex`, by path. */
function xattrsOfHost(root: string): Map<string, string[]> {
  const args = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', root];
  const result = new Map<string, string[]>();
  for (const block of runTool('getfattr', args).stdout.split('\n\n')) {
    const [head, ...rest] = block.split('\n');
    if (head === undefined || !head.startsWith('# file: ')) continue;
    const facts = rest.map((line) => {
      const at = line.indexOf('=');
      return unescape(at < 0 ? `${line}=` : `${line.slice(0, at)}=${line.slice(at + 3)}`);
    });
    result.set(unescape(head.slice('# file: '.length)), facts.sort());
  }
  return result;
}

/** getfattr writes some bytes of names in octal. */
function unescape(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const whole = bytes.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(whole, 'latin1').toString('utf8');
}

function hashOf(volume: FileSystem, node: NodeId, size: number): string {
  const hash = createHash('sha1');
  const buffer = new Uint8Array(1 << 20);
  for (let at = 0; at < size;) {
    const count = volume.read(node, at, buffer);
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return hash.digest('hex');
}

/** Can this process mount images with the kernel's driver? */
export function canMount(): boolean {
  if (process.getuid?.() !== 0 || !fs.existsSync('/dev/loop-control') || findTool('mount') === undefined)
    return false;
  return fs.readFileSync('/proc/filesystems', 'utf8').includes('\text2\n');
}

/** Runs `work` with the image mounted, and unmounts whatever happens. */
export function withMount<T>(image: string, options: string, work: (folder: string) => T): T {
  const folder = newFolder(`${image}-mount-`);
  const mounted = runTool('mount', ['-o', `loop,${options}`, image, folder]);
  if (mounted.status !== 0) {
    fs.rmdirSync(folder);
    throw new Error(`mount: ${mounted.stderr}`);
  }
  try {
    return work(folder);
  } finally {
    const unmounted = runTool('umount', [folder]);
    if (unmounted.status !== 0) runTool('umount', ['-l', folder]);
    fs.rmdirSync(folder);
  }
}

/** For trees after fast commits. The kernel gives directories the time of the replay, and their links and blocks, which it does not count anew, are not those that e2fsck finds. */
export function withPlainFolders(tree: TreeLines): TreeLines {
  const lines = Object.entries(tree).map(([name, line]) => [name, line.replace(/^(d \d+ \d+ \d+) .*/, '$1')]);
  return Object.fromEntries(lines) as TreeLines;
}
