import fs from 'node:fs';

/** Which IDs exist in the user namespace of this process, after /proc/self/uid_map (user_namespaces(7)); undefined: all do. */
export function mappedIds(
  file: '/proc/self/uid_map' | '/proc/self/gid_map',
): ((id: number) => boolean) | undefined {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const ranges = text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((fields) => fields.length === 3)
    .map(([first, , count]) => ({ first: first!, count: count! }));
  if (ranges.length === 0 || ranges.some(({ first, count }) => first === 0 && count >= 0xffff_ffff))
    return undefined;
  return (id) => ranges.some(({ first, count }) => id >= first && id < first + count);
}
