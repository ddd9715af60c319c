import { encodeUtf8 } from '../bytes/utf8.ts';
import { FsError } from '../errors.ts';

/** A path for a call of node: as bytes where it stands for bytes that are not UTF-8. */
export function hostText(text: string): string | Buffer {
  return isWellFormed(text) ? text : Buffer.from(encodeUtf8(text));
}

/** Throws EILSEQ for the path of an image that is not UTF-8: node would take the file whose name has U+FFFD instead, which is another one. */
export function requireUtf8Path(path: string): void {
  if (isWellFormed(path)) return;
  throw new FsError('EILSEQ', {
    syscall: 'open',
    path: path.replaceAll(/\p{Surrogate}/gu, '?'),
    detail: 'the path of an image must be UTF-8; a link to it with another name will do',
  });
}

/** Has it no lone surrogates, which stand for bytes that are not UTF-8? */
export function isWellFormed(text: string): boolean {
  // In every Node that this project runs on; TypeScript has it from ES2024.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}
