/**
 * Bytes as the lines that `xxd` prints, `00000200: 4546 4920 5041 5254  EFI PART`, and that `xxd -r FILE IMAGE` writes back to
 * where they were. `length` a multiple of 16 fills whole lines.
 */
export function hexDump(offset: number, bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 16) {
    const line = bytes.subarray(at, at + 16);
    let hex = '';
    let plain = '';
    for (const [index, byte] of line.entries()) {
      hex += `${index > 0 && index % 2 === 0 ? ' ' : ''}${byte.toString(16).padStart(2, '0')}`;
      plain += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.';
    }
    text += `${(offset + at).toString(16).padStart(8, '0')}: ${hex.padEnd(39)}  ${plain}\n`;
  }
  return text;
}
