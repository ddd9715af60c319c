import { GrubError } from '../../../boot/grub-legacy/grub-error.ts';
import { type GrubFile, openFile } from '../../../boot/grub-legacy/grub-file.ts';
import { type Shell, splitWords } from './command.ts';

const CHUNK = 1 << 16;

/** `cat`: what GRUB's console cannot show is a question mark, a tab is eight blanks. */
export function printFile(shell: Shell, text: string): void {
  const file = openFile(shell.session, text);
  for (const { content } of chunks(file)) shell.print(printable(content));
}

function printable(content: Uint8Array): string {
  let result = '';
  for (const byte of content) {
    if (byte === 0x09) result += '        ';
    else if (byte === 0x0a || (byte >= 0x20 && byte < 0x7f)) result += String.fromCharCode(byte);
    else if (byte !== 0x0d) result += '?';
  }
  return result;
}

/** `cmp`: sizes first, then every byte that differs, shown as C's signed characters. */
export function compareFiles(shell: Shell, text: string): void {
  const [nameA, nameB] = splitWords(text);
  if (nameA === undefined || nameB === undefined) throw new GrubError(30);
  const a = openFile(shell.session, nameA);
  const b = openFile(shell.session, nameB);
  if (a.size !== b.size) {
    shell.print(`Differ in size: ${hex(a.size)} [${nameA}], ${hex(b.size)} [${nameB}]\n`);
    return;
  }
  for (const { offset, content } of chunks(a)) {
    const other = b.read(offset, content.length);
    for (let i = 0; i < content.length; i++) {
      if (content[i] === other[i]) continue;
      const left = `${signedHex(content[i]!)} [${nameA}]`;
      shell.print(`Differ at the offset ${offset + i}: ${left}, ${signedHex(other[i]!)} [${nameB}]\n`);
    }
  }
}

function* chunks(file: GrubFile): Iterable<{ offset: number; content: Uint8Array }> {
  for (let offset = 0; offset < file.size; offset += CHUNK) {
    yield { offset, content: file.read(offset, CHUNK) };
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function signedHex(byte: number): string {
  return hex(byte < 0x80 ? byte : (byte | 0xffffff00) >>> 0);
}
