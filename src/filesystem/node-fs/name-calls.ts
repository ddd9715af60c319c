import { FsError } from '../../errors.ts';
import { encodeUtf8 } from '../../bytes/utf8.ts';
import { splitPath } from '../path.ts';
import {
  type BufferEncodingArgument,
  type EncodingArgument,
  type PathArgument,
  encodingOf,
  pathOf,
} from './arguments.ts';
import { type Context, MAX_LINKS, existingNode, parentAndName } from './context.ts';
import { attempt } from './node-error.ts';

/** The calls on names: rename, unlink, link, symlink, readlink, realpath. */
export function nameCalls<B extends Uint8Array>(context: Context<B>) {
  const { fileSystem, codec } = context;

  function renameSync(oldPath: PathArgument, newPath: PathArgument): void {
    const from = pathOf(oldPath, 'oldPath');
    const to = pathOf(newPath, 'newPath');
    attempt({ syscall: 'rename', path: from, dest: to }, () => {
      const source = parentAndName(fileSystem, from, 'EBUSY');
      const target = parentAndName(fileSystem, to, 'EBUSY');
      const node = fileSystem.lookup(source.directory, source.name);
      if (node === undefined) throw new FsError('ENOENT');
      const mustBeDirectory = from.endsWith('/') || to.endsWith('/');
      if (mustBeDirectory && fileSystem.attributes(node).kind !== 'directory') throw new FsError('ENOTDIR');
      fileSystem.rename(source.directory, source.name, target.directory, target.name);
    });
  }

  function unlinkSync(path: PathArgument): void {
    const name = pathOf(path);
    attempt({ syscall: 'unlink', path: name }, () => {
      const place = parentAndName(fileSystem, name, 'EISDIR');
      if (name.endsWith('/')) existingNode(fileSystem, name, false);
      fileSystem.unlink(place.directory, place.name);
    });
  }

  function linkSync(existingPath: PathArgument, newPath: PathArgument): void {
    const from = pathOf(existingPath, 'existingPath');
    const to = pathOf(newPath, 'newPath');
    attempt({ syscall: 'link', path: from, dest: to }, () => {
      const node = existingNode(fileSystem, from, false);
      const place = parentAndName(fileSystem, to, 'EEXIST');
      if (fileSystem.lookup(place.directory, place.name) !== undefined) throw new FsError('EEXIST');
      fileSystem.link(node, place.directory, place.name);
    });
  }

  /** `type` is for Windows' sake and has no meaning in an image. */
  function symlinkSync(target: PathArgument, path: PathArgument, _type?: string | null): void {
    const text = pathOf(target, 'target');
    const name = pathOf(path);
    attempt({ syscall: 'symlink', path: text, dest: name }, () => {
      if (text === '') throw new FsError('ENOENT');
      const place = parentAndName(fileSystem, name, 'EEXIST');
      if (fileSystem.lookup(place.directory, place.name) !== undefined) throw new FsError('EEXIST');
      fileSystem.create(place.directory, place.name, {
        kind: 'symlink',
        target: text,
        uid: context.uid,
        gid: context.gid,
      });
    });
  }

  function readlinkSync(path: PathArgument, options?: EncodingArgument): string;
  function readlinkSync(path: PathArgument, options: BufferEncodingArgument): B;
  function readlinkSync(path: PathArgument, options?: EncodingArgument): string | B;
  function readlinkSync(path: PathArgument, options?: EncodingArgument): string | B {
    const name = pathOf(path);
    const target = attempt({ syscall: 'readlink', path: name }, () =>
      fileSystem.readLink(existingNode(fileSystem, name, false)),
    );
    return inEncoding(target, encodingOf(options));
  }

  function realpathSync(path: PathArgument, options?: EncodingArgument): string;
  function realpathSync(path: PathArgument, options: BufferEncodingArgument): B;
  function realpathSync(path: PathArgument, options?: EncodingArgument): string | B;
  function realpathSync(path: PathArgument, options?: EncodingArgument): string | B {
    const name = pathOf(path);
    const real = attempt({ syscall: 'realpath', path: name }, () => {
      existingNode(fileSystem, name);
      return canonical(name);
    });
    return inEncoding(real, encodingOf(options));
  }

  /** The path, which is there, with its links replaced by what they point to. */
  function canonical(path: string): string {
    const pending = splitPath(path).reverse();
    const trail: string[] = [];
    const nodes = [fileSystem.root];
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '..') {
        if (trail.pop() !== undefined) nodes.pop();
        continue;
      }
      const node = fileSystem.lookup(nodes.at(-1)!, name);
      if (node === undefined) throw new FsError('ENOENT');
      if (fileSystem.attributes(node).kind !== 'symlink') {
        trail.push(name);
        nodes.push(node);
        continue;
      }
      if (++links > MAX_LINKS) throw new FsError('ELOOP');
      const target = fileSystem.readLink(node);
      if (target.startsWith('/')) {
        trail.length = 0;
        nodes.length = 1;
      }
      pending.push(...splitPath(target).reverse());
    }
    return `/${trail.join('/')}`;
  }

  function inEncoding(text: string, encoding: string | undefined): string | B {
    if (encoding === undefined || /^utf-?8$/i.test(encoding)) return text;
    const bytes = encodeUtf8(text);
    return encoding === 'buffer' ? codec.wrap(bytes) : codec.decode(bytes, encoding);
  }

  return {
    renameSync,
    unlinkSync,
    linkSync,
    symlinkSync,
    readlinkSync,
    // Node's `native` asks the C library instead of walking; here there is one way only.
    realpathSync: Object.assign(realpathSync, { native: realpathSync }),
  };
}
