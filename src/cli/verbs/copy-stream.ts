import { FsError, UsageError } from '../../errors.ts';
import { findPath, resolveParent, resolvePath } from '../../filesystem/path.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import type { ParsedArguments } from '../getopt.ts';
import type { OpenImages } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { writeContent } from './cat.ts';
import type { Failures } from './failure.ts';
import { openOperand } from './operand.ts';
import { OwnerNames } from './owner.ts';

/** `cp - IMAGE:/FILE` and `cp IMAGE:/FILE -`. */

export function copyToOutput(io: Io, images: OpenImages, text: string, failures: Failures): void {
  failures.try(`cannot copy '${text}'`, () => {
    const { fileSystem, path } = openOperand(io, images, text);
    writeContent(io, fileSystem, resolvePath(fileSystem, path));
  });
}

export function copyFromInput(
  io: Io,
  images: OpenImages,
  text: string,
  args: ParsedArguments,
  failures: Failures,
): void {
  if (text.endsWith('/')) throw new UsageError(`standard input has no name; add one to "${text}"`);
  failures.try(`cannot create '${text}'`, () => {
    const { fileSystem, path } = openOperand(io, images, text, { write: true });
    const existing = findPath(fileSystem, path);
    if (existing !== undefined && args.has('n')) return;
    if (existing !== undefined && fileSystem.attributes(existing).kind === 'directory') {
      throw new FsError('EISDIR', { detail: 'it is a directory, and standard input has no name' });
    }
    const content = io.stdin.readAll();
    const owner = args.value('owner');
    const ids = owner === undefined ? {} : OwnerNames.read(fileSystem).parse(owner);
    if (existing !== undefined) {
      fileSystem.setAttributes(existing, { size: 0 });
      fileSystem.write(existing, 0, content);
      if (owner !== undefined) fileSystem.setAttributes(existing, ids);
      return;
    }
    const { directory, name } = resolveParent(fileSystem, path, { syscall: 'open' });
    const time = args.has('reproducible') ? { seconds: 0, nanoseconds: 0 } : undefined;
    const now = time ?? clockFromEnvironment(io.env)();
    const mode = 0o666 & ~process.umask();
    const made = fileSystem.create(directory, name, {
      kind: 'file',
      mode,
      ...ids,
      atime: now,
      mtime: now,
      expectedSize: content.length,
    });
    try {
      fileSystem.write(made, 0, content);
    } catch (error) {
      fileSystem.unlink(directory, name);
      throw error;
    }
  });
}
