import type { DeviceView } from '../disk/device-views.ts';

/** Longest WRITE, bytes: the kernel sends a longer direct write as several at once, which threads answer side by side. */
export const MAX_WRITE = 1 << 19;
/** Longest READ: what an unprivileged pipe (fs.pipe-max-size) holds together with a header, in a power of two. */
export const MAX_READ = 1 << 19;
const NODE_SECTOR = 512;
const NODE_STEP = 1024;

/** The node of a view: by its place, too, so that a name that comes to lead elsewhere is another node, with a cache of its own. */
export function nodeIdOf(view: DeviceView): number {
  return (view.offset / NODE_SECTOR) * NODE_STEP + view.id + 1;
}
