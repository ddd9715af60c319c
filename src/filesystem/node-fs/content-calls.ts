import { FsError } from '../../errors.ts';
import type { NodeId } from '../file-system.ts';
import {
  type ModeArgument,
  type PathArgument,
  type PathOrDescriptor,
  bytesOf,
  encodingOf,
  modeOf,
  pathOf,
} from './arguments.ts';
import { constants } from './constants.ts';
import { type Context, existingNode } from './context.ts';
import { parseFlags } from './flags.ts';
import { attempt, nodeError } from './node-error.ts';
import { openFile } from './open-file-calls.ts';

export interface ReadFileOptions<Encoding> {
  readonly encoding?: Encoding | undefined;
  readonly flag?: string | number | undefined;
}

export type WriteFileOptions =
  | {
      readonly encoding?: string | null | undefined;
      readonly mode?: ModeArgument | undefined;
      readonly flag?: string | number | undefined;
      readonly flush?: boolean | undefined;
    }
  | string
  | null
  | undefined;

/** Node reads no more than this into one buffer. */
const MAX_WHOLE_FILE = 2 ** 31 - 1;

const COPY_CHUNK = 1 << 20;

/** The calls that take or give a whole file: readFile, writeFile, appendFile, copyFile, truncate. */
export function contentCalls<B extends Uint8Array>(context: Context<B>) {
  const { fileSystem, files, codec } = context;

  function readFileSync(path: PathOrDescriptor, options?: ReadFileOptions<null> | null): B;
  function readFileSync(
    path: PathOrDescriptor,
    options: (ReadFileOptions<string> & { readonly encoding: string }) | string,
  ): string;
  function readFileSync(
    path: PathOrDescriptor,
    options?: ReadFileOptions<string | null> | string | null,
  ): string | B;
  function readFileSync(
    path: PathOrDescriptor,
    options?: ReadFileOptions<string | null> | string | null,
  ): string | B {
    const encoding = encodingOf(options);
    const flag = (typeof options === 'object' ? options?.flag : undefined) ?? 'r';
    const content = withFile(path, flag, 0o666, (fd) =>
      attempt({ syscall: 'read' }, () => {
        const file = files.get(fd);
        if (!file.flags.read) throw new FsError('EBADF');
        const { content, end } = readRest(file.node, typeof path === 'number' ? file.position : 0);
        file.position = end;
        return content;
      }),
    );
    return encoding === undefined || encoding === 'buffer' ? content : codec.decode(content, encoding);
  }

  function readRest(node: NodeId, start: number): { content: B; end: number } {
    const length = Math.max(0, fileSystem.attributes(node).size - start);
    if (length > MAX_WHOLE_FILE) {
      throw nodeError('ERR_FS_FILE_TOO_LARGE', `File size (${length}) is greater than 2 GiB`);
    }
    const content = codec.allocate(length);
    let done = 0;
    while (done < length) {
      const count = fileSystem.read(node, start + done, content.subarray(done));
      if (count === 0) break;
      done += count;
    }
    if (done === length && fileSystem.attributes(node).kind === 'directory') throw new FsError('EISDIR');
    return { content: done === length ? content : codec.wrap(content.subarray(0, done)), end: start + done };
  }

  function writeFileSync(
    file: PathOrDescriptor,
    data: string | ArrayBufferView,
    options?: WriteFileOptions,
  ): void {
    store(file, data, options, 'w');
  }

  function appendFileSync(
    file: PathOrDescriptor,
    data: string | ArrayBufferView,
    options?: WriteFileOptions,
  ): void {
    store(file, data, options, 'a');
  }

  function store(
    path: PathOrDescriptor,
    data: string | ArrayBufferView,
    options: WriteFileOptions,
    defaultFlag: string,
  ): void {
    const encoding = encodingOf(options, 'utf8')!;
    const { flag, mode, flush } = typeof options === 'object' && options !== null ? options : {};
    const from = typeof data === 'string' ? codec.encode(data, encoding) : bytesOf(data);
    withFile(path, flag ?? defaultFlag, modeOf(mode, 0o666), (fd) =>
      attempt({ syscall: 'write' }, () => {
        const file = files.get(fd);
        if (!file.flags.write) throw new FsError('EBADF');
        const at = file.flags.append ? fileSystem.attributes(file.node).size : file.position;
        if (from.length > 0) fileSystem.write(file.node, at, from);
        file.position = at + from.length;
        if (flush === true || file.flags.synchronous) fileSystem.sync();
      }),
    );
  }

  function withFile<T>(
    path: PathOrDescriptor,
    flag: string | number,
    mode: number,
    body: (fd: number) => T,
  ): T {
    if (typeof path === 'number') return body(path);
    const name = pathOf(path);
    const flags = parseFlags(flag);
    const fd = attempt({ syscall: 'open', path: name }, () => openFile(context, name, flags, mode));
    try {
      return body(fd);
    } finally {
      files.close(fd);
    }
  }

  function copyFileSync(source: PathArgument, destination: PathArgument, mode?: number): void {
    const from = pathOf(source, 'src');
    const to = pathOf(destination, 'dest');
    attempt({ syscall: 'copyfile', path: from, dest: to }, () => {
      const how = mode ?? 0;
      if ((how & constants.COPYFILE_FICLONE_FORCE) !== 0) throw new FsError('EOPNOTSUPP');
      const node = existingNode(fileSystem, from);
      const { kind, mode: permissions } = fileSystem.attributes(node);
      if (kind === 'directory') throw new FsError('EISDIR');
      if (kind !== 'file') throw new FsError('ENXIO');
      const exclusive = (how & constants.COPYFILE_EXCL) !== 0;
      const target = openFile(context, to, parseFlags(exclusive ? 'wx' : COPY_FLAGS), permissions);
      try {
        copyContent(node, files.get(target).node, permissions);
      } finally {
        files.close(target);
      }
    });
  }

  function copyContent(source: NodeId, target: NodeId, mode: number): void {
    if (source === target) return;
    const { size } = fileSystem.attributes(source);
    fileSystem.setAttributes(target, { size: 0 });
    const chunk = new Uint8Array(Math.min(COPY_CHUNK, size));
    for (const { kind, offset, length } of fileSystem.extents(source)) {
      if (kind !== 'data') continue;
      for (let done = 0; done < length;) {
        const count = fileSystem.read(
          source,
          offset + done,
          chunk.subarray(0, Math.min(chunk.length, length - done)),
        );
        if (count === 0) break;
        fileSystem.write(target, offset + done, chunk.subarray(0, count));
        done += count;
      }
    }
    // A hole at the end takes no writing, only a size.
    if (fileSystem.attributes(target).size < size) fileSystem.setAttributes(target, { size });
    if (fileSystem.capabilities.ownership) fileSystem.setAttributes(target, { mode });
  }

  function truncateSync(path: PathArgument, length?: number | null): void {
    const name = pathOf(path);
    const fd = attempt({ syscall: 'open', path: name }, () =>
      openFile(context, name, parseFlags('r+'), 0o666),
    );
    try {
      attempt({ syscall: 'ftruncate' }, () =>
        fileSystem.setAttributes(files.get(fd).node, { size: Math.max(0, length ?? 0) }),
      );
    } finally {
      files.close(fd);
    }
  }

  return { readFileSync, writeFileSync, appendFileSync, copyFileSync, truncateSync };
}

/** The target of a copy is opened without truncating it, so that copying a file onto itself does not empty it. */
const COPY_FLAGS = constants.O_WRONLY | constants.O_CREAT;
