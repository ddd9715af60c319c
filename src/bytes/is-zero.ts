/** Is every byte zero? Looks at four bytes a step where the alignment allows it. */
export function isZero(array: Uint8Array): boolean {
  const { length } = array;
  let i = 0;
  while (i < length && ((array.byteOffset + i) & 3) !== 0) {
    if (array[i++] !== 0) return false;
  }
  // Ends before a word boundary: there is none to begin an array of words at.
  if (i === length) return true;
  const wordCount = (length - i) >>> 2;
  const words = new Uint32Array(array.buffer, array.byteOffset + i, wordCount);
  for (let j = 0; j < wordCount; j++) {
    if (words[j] !== 0) return false;
  }
  for (i += wordCount * 4; i < length; i++) {
    if (array[i] !== 0) return false;
  }
  return true;
}
