/** The character sets of 8.3 names and labels: one byte a character, the lower half ASCII. */
export interface CodePage {
  readonly number: 437 | 850;
  decode(byte: number): string;
  /** Undefined for a character that it does not have. */
  encode(character: string): number | undefined;
}

/** Bytes 0x80 to 0xff of IBM's code page 437, what Linux' vfat takes by default. */
const HIGH_437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐' +
  '└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';

/** Bytes 0x80 to 0xff of IBM's code page 850, what dosfstools and mtools take by default. */
const HIGH_850 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐' +
  '└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u00ad±‗¾¶§÷¸°¨·¹³²■\u00a0';

function codePage(number: CodePage['number'], high: string): CodePage {
  const decoded = Array.from({ length: 256 }, (_, byte) =>
    byte < 0x80 ? String.fromCharCode(byte) : high[byte - 0x80]!,
  );
  const encoded = new Map(decoded.map((character, byte) => [character, byte]));
  return {
    number,
    decode: (byte) => decoded[byte]!,
    encode(character) {
      const code = character.charCodeAt(0);
      return code < 0x80 ? code : encoded.get(character);
    },
  };
}

export const CODE_PAGES = { 437: codePage(437, HIGH_437), 850: codePage(850, HIGH_850) } as const;
