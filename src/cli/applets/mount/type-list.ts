/**
 * Whether a type is in a list as `-t` takes it: `ext2,vfat`, or `noext2,vfat`, which is all but those two. A single item may be
 * negated, too: `ext2,novfat`. Types are the same in upper and lower case.
 */
export function matchesTypeList(type: string, list: string): boolean {
  const wanted = type.toLowerCase();
  let rest = list.toLowerCase();
  const negated = rest.startsWith('no');
  if (negated) rest = rest.slice(2);
  for (const item of rest.split(',')) {
    if (item === `no${wanted}`) return false;
    if (item === wanted) return !negated;
  }
  return negated;
}

/** The names by which people may ask for a mounted type: the kernel shows those of FUSE as `fuse.vfat`. */
export function typeNames(type: string): string[] {
  const bare = type.replace(/^fuse(?:blk)?\./, '');
  return bare === type ? [type] : [type, bare];
}

/** `matchesTypeList` for what is mounted: by any of its names where the list is positive, by none where it is negated. */
export function mountMatchesTypeList(type: string, list: string): boolean {
  const results = typeNames(type).map((name) => matchesTypeList(name, list));
  return /^no/i.test(list) ? results.every(Boolean) : results.some(Boolean);
}
