/** The devices that are in the shell's /dev before anything is attached, as on a machine that has them. */

/** As the loop driver makes them by default (max_loop). */
const LOOP_UNITS = 8;
/** As OpenBSD's MAKEDEV makes them; `vnconfig -l` lists as many. */
export const VND_UNITS = 4;
/** `c` is the whole device, `i` the first partition that is not OpenBSD's own. */
const VND_LETTERS = ['a', 'c', 'i', 'j'];

/** FreeBSD has a node for an md device only while it is attached, so none is here. */
export const UNATTACHED_NAMES: readonly string[] = [
  ...units(LOOP_UNITS).map((unit) => `loop${unit}`),
  ...units(VND_UNITS).flatMap((unit) =>
    VND_LETTERS.flatMap((letter) => [`vnd${unit}${letter}`, `rvnd${unit}${letter}`]),
  ),
];

/** Names under which there may be devices of ours: the host's own devices of these names are not in the shell. */
export function isDeviceName(name: string): boolean {
  return /^(?:loop\d+(?:p\d+)?|md\d+(?:s\d+[a-h]?)?|mdctl|r?s?vnd\d+[a-p]|loop-control)$/.test(name);
}

function units(count: number): number[] {
  return Array.from({ length: count }, (_, unit) => unit);
}
