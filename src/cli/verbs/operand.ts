import { UsageError } from '../../errors.ts';
import type { FileSystem } from '../../filesystem/file-system.ts';
import { type ImageReference, OpenImages, formatReference, parseImageReference } from '../image-reference.ts';
import type { Io } from '../io.ts';
import { Failures } from './failure.ts';

export { checkOperands } from './operand-count.ts';

/** One operand of a verb, opened. */
export interface ImageOperand {
  readonly fileSystem: FileSystem;
  readonly reference: ImageReference;
  /** The root where the operand names no path. */
  readonly path: string;
  /** A path of the same file system as a person would type it. */
  readonly show: (path: string) => string;
}

export interface OperandOptions {
  readonly write?: boolean;
  /** What to say first when an operand cannot be reached: `cannot access`. */
  readonly action: string;
}

/**
 * Opens the images that the operands name, runs `body` for each operand in turn, and closes the images. A problem with one
 * operand is told and the next one is tried; returns the exit status.
 */
export function forEachOperand(
  io: Io,
  verb: string,
  operands: readonly string[],
  options: OperandOptions,
  body: (operand: ImageOperand, failures: Failures) => void,
): number {
  const failures = new Failures(io, verb);
  using images = new OpenImages(io);
  for (const text of operands) {
    failures.try(`${options.action} '${text}'`, () => body(openOperand(io, images, text, options), failures));
  }
  images.close();
  return failures.status;
}

export function openOperand(
  io: Io,
  images: OpenImages,
  text: string,
  options: { readonly write?: boolean } = {},
): ImageOperand {
  const reference = parseImageReference(io, text);
  const fileSystem = images.fileSystem(reference, options);
  return {
    fileSystem,
    reference,
    path: reference.path ?? '/',
    show: (path) => formatReference(reference, path),
  };
}

/** UsageError unless each operand names a path, for verbs that would be dangerous or senseless on a whole file system. */
export function checkPaths(io: Io, operands: readonly string[]): void {
  for (const text of operands) {
    if (parseImageReference(io, text).path === undefined) {
      throw new UsageError(`"${text}" names no file in an image, expected IMAGE:/path`);
    }
  }
}
