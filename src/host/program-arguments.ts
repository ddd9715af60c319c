import fs from 'node:fs';
import { decodeUtf8 } from '../bytes/utf8.ts';

/**
 * The arguments of this process. Node puts U+FFFD where they are not UTF-8; names of files may be so, and then their
 * bytes are taken from where Linux keeps them.
 */
export function programArguments(): string[] {
  const given = process.argv.slice(2);
  if (process.platform !== 'linux' || !given.some((argument) => argument.includes('\ufffd'))) return given;
  const all = splitAtZeros(fs.readFileSync('/proc/self/cmdline'));
  return all.length < given.length ? given : all.slice(all.length - given.length);
}

/** Each argument ends in a zero byte. */
function splitAtZeros(bytes: Uint8Array): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, start)) {
    parts.push(decodeUtf8(bytes, start, end));
    start = end + 1;
  }
  return parts;
}
