import { FsError } from '../../errors.ts';
import type { NodeId } from '../file-system.ts';
import { type ModeArgument, type PathArgument, bytesOf, checkCount, modeOf, pathOf } from './arguments.ts';
import { type Context, creationPlace, nodeIfThere } from './context.ts';
import { type OpenFlags, parseFlags } from './flags.ts';
import { argumentError, attempt } from './node-error.ts';
import type { OpenFile } from './open-file-table.ts';

export interface ReadOptions {
  readonly offset?: number | undefined;
  readonly length?: number | undefined;
  readonly position?: number | bigint | null | undefined;
}

/** The calls on descriptors: open, close, read, write and their kin. */
export function openFileCalls<B extends Uint8Array>(context: Context<B>) {
  const { fileSystem, files, codec } = context;

  function openSync(path: PathArgument, flags?: string | number, mode?: ModeArgument | null): number {
    const name = pathOf(path);
    const parsed = parseFlags(flags);
    const permissions = modeOf(mode, 0o666);
    return attempt({ syscall: 'open', path: name }, () => openFile(context, name, parsed, permissions));
  }

  function closeSync(fd: number): void {
    attempt({ syscall: 'close' }, () => files.close(checkCount(fd, 'fd')));
  }

  function readSync(
    fd: number,
    buffer: ArrayBufferView,
    offsetOrOptions?: number | ReadOptions | null,
    length?: number | null,
    position?: number | bigint | null,
  ): number {
    const options: ReadOptions =
      typeof offsetOrOptions === 'object' && offsetOrOptions !== null
        ? offsetOrOptions
        : {
            offset: offsetOrOptions ?? undefined,
            length: length ?? undefined,
            position,
          };
    const into = windowOf(bytesOf(buffer), options.offset, options.length);
    return attempt({ syscall: 'read' }, () => readAt(descriptor(fd), into, options.position));
  }

  function readvSync(fd: number, buffers: readonly ArrayBufferView[], position?: number | null): number {
    return attempt({ syscall: 'read' }, () => {
      const file = descriptor(fd);
      let total = 0;
      for (const buffer of buffers) {
        const into = bytesOf(buffer);
        const count = readAt(file, into, typeof position === 'number' ? position + total : position);
        total += count;
        if (count < into.length) break;
      }
      return total;
    });
  }

  function writeSync(
    fd: number,
    buffer: ArrayBufferView,
    offset?: number | null,
    length?: number | null,
    position?: number | null,
  ): number;
  function writeSync(fd: number, text: string, position?: number | null, encoding?: string | null): number;
  function writeSync(
    fd: number,
    data: ArrayBufferView | string,
    offsetOrPosition?: number | null | { offset?: number; length?: number; position?: number | null },
    lengthOrEncoding?: number | string | null,
    position?: number | null,
  ): number {
    let from: Uint8Array;
    let at = position;
    if (typeof data === 'string') {
      from = codec.encode(data, typeof lengthOrEncoding === 'string' ? lengthOrEncoding : 'utf8');
      at = offsetOrPosition as number | null;
    } else if (typeof offsetOrPosition === 'object' && offsetOrPosition !== null) {
      from = windowOf(bytesOf(data), offsetOrPosition.offset, offsetOrPosition.length);
      at = offsetOrPosition.position;
    } else {
      from = windowOf(
        bytesOf(data),
        offsetOrPosition ?? undefined,
        (lengthOrEncoding as number) ?? undefined,
      );
    }
    return attempt({ syscall: 'write' }, () => writeAt(descriptor(fd), from, at));
  }

  function writevSync(fd: number, buffers: readonly ArrayBufferView[], position?: number | null): number {
    return attempt({ syscall: 'write' }, () => {
      const file = descriptor(fd);
      let total = 0;
      for (const buffer of buffers) {
        total += writeAt(file, bytesOf(buffer), typeof position === 'number' ? position + total : position);
      }
      return total;
    });
  }

  function ftruncateSync(fd: number, length?: number | null): void {
    attempt({ syscall: 'ftruncate' }, () => {
      const file = descriptor(fd);
      if (!file.flags.write) throw new FsError('EINVAL');
      // Node takes a negative length for 0.
      fileSystem.setAttributes(file.node, { size: Math.max(0, length ?? 0) });
    });
  }

  function fsyncSync(fd: number): void {
    attempt({ syscall: 'fsync' }, () => {
      descriptor(fd);
      fileSystem.sync();
    });
  }

  function fdatasyncSync(fd: number): void {
    attempt({ syscall: 'fdatasync' }, () => {
      descriptor(fd);
      fileSystem.sync();
    });
  }

  function descriptor(fd: number): OpenFile {
    return files.get(checkCount(fd, 'fd'));
  }

  function readAt(file: OpenFile, into: Uint8Array, position: number | bigint | null | undefined): number {
    if (!file.flags.read) throw new FsError('EBADF');
    const explicit = position !== null && position !== undefined && Number(position) >= 0;
    const count = fileSystem.read(file.node, explicit ? Number(position) : file.position, into);
    if (!explicit) file.position += count;
    return count;
  }

  function writeAt(file: OpenFile, from: Uint8Array, position: number | null | undefined): number {
    if (!file.flags.write) throw new FsError('EBADF');
    const explicit = typeof position === 'number' && position >= 0;
    let at = explicit ? position : file.position;
    if (file.flags.append) at = fileSystem.attributes(file.node).size;
    if (from.length > 0) fileSystem.write(file.node, at, from);
    if (!explicit) file.position = at + from.length;
    if (file.flags.synchronous) fileSystem.sync();
    return from.length;
  }

  return {
    openSync,
    closeSync,
    readSync,
    readvSync,
    writeSync,
    writevSync,
    ftruncateSync,
    fsyncSync,
    fdatasyncSync,
  };
}

/** open(2): finds or makes the file, checks what the flags ask for, and gives it a descriptor. */
export function openFile<B extends Uint8Array>(
  context: Context<B>,
  path: string,
  flags: OpenFlags,
  mode: number,
): number {
  const { fileSystem, files } = context;
  const follow = !flags.noFollow && !(flags.create && flags.exclusive);
  let node = nodeIfThere(fileSystem, path, follow);
  if (node === undefined) {
    if (!flags.create || path === '') throw new FsError('ENOENT');
    const { directory, name } = creationPlace(fileSystem, path);
    node = fileSystem.create(directory, name, {
      kind: 'file',
      mode: mode & 0o7777 & ~context.umask,
      uid: context.uid,
      gid: context.gid,
    });
  } else checkOpenable(context, node, flags);
  return files.add(node, flags);
}

function checkOpenable<B extends Uint8Array>(
  { fileSystem }: Context<B>,
  node: NodeId,
  flags: OpenFlags,
): void {
  if (flags.create && flags.exclusive) throw new FsError('EEXIST');
  const { kind } = fileSystem.attributes(node);
  if (kind === 'symlink') throw new FsError('ELOOP');
  if (kind === 'directory') {
    if (flags.write || flags.create || flags.truncate) throw new FsError('EISDIR');
    return;
  }
  if (flags.directory) throw new FsError('ENOTDIR');
  // Nobody drives the devices, pipes and sockets of an image.
  if (kind !== 'file') throw new FsError('ENXIO');
  if (flags.write && fileSystem.readOnly) throw new FsError('EROFS');
  if (flags.truncate && flags.write) fileSystem.setAttributes(node, { size: 0 });
}

function windowOf(bytes: Uint8Array, offset = 0, length = bytes.length - offset): Uint8Array {
  checkCount(offset, 'offset');
  checkCount(length, 'length');
  if (offset + length > bytes.length) {
    throw argumentError(
      'ERR_OUT_OF_RANGE',
      `The value of "length" is out of range. It must be <= ${bytes.length - offset}. Received ${length}`,
    );
  }
  return bytes.subarray(offset, offset + length);
}
