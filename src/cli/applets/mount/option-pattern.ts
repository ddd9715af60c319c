import type { MountOption } from './option-list.ts';
import { formatOption, parseOptionList } from './option-list.ts';

/**
 * Whether options fit a list as `-O` takes it: every item must, `ro` and `uid=5` by being there, `noro` by being absent.
 * `+noauto` is the option of that name and no negation.
 */
export function matchesOptionPattern(options: readonly MountOption[], pattern: string): boolean {
  return parseOptionList(pattern).every((item) => {
    if (item.name.startsWith('+')) return has(options, { ...item, name: item.name.slice(1) });
    if (item.name.startsWith('no')) return !has(options, { ...item, name: item.name.slice(2) });
    return has(options, item);
  });
}

function has(options: readonly MountOption[], wanted: MountOption): boolean {
  return options.some(
    (option) =>
      option.name === wanted.name &&
      (wanted.value === undefined || formatOption(option) === formatOption(wanted)),
  );
}
