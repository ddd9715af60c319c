import { encodeUtf8 } from '../bytes/utf8.ts';

/** A path for a call of node: as bytes where it stands for bytes that are not UTF-8. */
export function hostText(text: string): string | Buffer {
  return isWellFormed(text) ? text : Buffer.from(encodeUtf8(text));
}

/** Has it no lone surrogates, which stand for bytes that are not UTF-8? */
export function isWellFormed(text: string): boolean {
  // In every Node that this project runs on; TypeScript has it from ES2024.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}
