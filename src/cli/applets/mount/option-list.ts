/** One of `-o name,name=value`; a value may be empty, which is not the same as none. */
export interface MountOption {
  readonly name: string;
  readonly value: string | undefined;
}

/** Cuts at commas outside of double quotes, which stay in the value: `context="a,b"`. Empty items are dropped. */
export function parseOptionList(text: string): MountOption[] {
  return splitList(text).map((item) => {
    const equals = item.indexOf('=');
    return equals < 0
      ? { name: item, value: undefined }
      : { name: item.slice(0, equals), value: item.slice(equals + 1) };
  });
}

export function formatOption({ name, value }: MountOption): string {
  return value === undefined ? name : `${name}=${value}`;
}

export function formatOptionList(options: readonly MountOption[]): string {
  return options.map(formatOption).join(',');
}

function splitList(text: string): string[] {
  const items: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at <= text.length; at++) {
    if (text[at] === '"') quoted = !quoted;
    if (at < text.length && (text[at] !== ',' || quoted)) continue;
    if (at > start) items.push(text.slice(start, at));
    start = at + 1;
  }
  return items;
}
