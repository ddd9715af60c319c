/** `s_default_mount_opts`: options that a mount has without being told. */

const OPTIONS: readonly (readonly [name: string, bit: number, mask: number])[] = [
  // Three ways to keep a journal are the three values of two bits.
  ['journal_data', 0x0020, 0x0060],
  ['journal_data_ordered', 0x0040, 0x0060],
  ['journal_data_writeback', 0x0060, 0x0060],
  ['debug', 0x0001, 0x0001],
  ['bsdgroups', 0x0002, 0x0002],
  ['user_xattr', 0x0004, 0x0004],
  ['acl', 0x0008, 0x0008],
  ['uid16', 0x0010, 0x0010],
  ['nobarrier', 0x0100, 0x0100],
  ['block_validity', 0x0200, 0x0200],
  ['discard', 0x0400, 0x0400],
  ['nodelalloc', 0x0800, 0x0800],
];

export function mountOptionNames(word: number): string[] {
  const names: string[] = [];
  let unnamed = word;
  for (const [name, bit, mask] of OPTIONS) {
    if ((word & mask) !== bit) continue;
    names.push(name);
    unnamed &= ~mask;
  }
  for (let bit = 0; bit < 32; bit++) {
    if (((unnamed >>> bit) & 1) !== 0) names.push(`MNTOPT_${bit}`);
  }
  return names;
}

/** `list` as `-o` takes it: names, `^name` to clear one; undefined for a name that is unknown. */
export function editMountOptions(word: number, list: string): number | undefined {
  let result = word;
  for (const item of list.split(/[ ,]+/)) {
    if (item === '') continue;
    const clear = /^[-^]/.test(item);
    const name = item.replace(/^[-^+]/, '').toLowerCase();
    const known = OPTIONS.find(([candidate]) => candidate === name);
    if (known === undefined) return undefined;
    const [, bit, mask] = known;
    result = clear ? result & ~mask : (result & ~mask) | bit;
  }
  return result >>> 0;
}
