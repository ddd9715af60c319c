import { parseSize } from '../../../bytes/size.ts';
import { MountFlag } from '../../../host/native-mount.ts';
import { MountFailure } from './mount-failure.ts';
import { FLAG_OPTIONS, OPERATION_OPTIONS, PROPAGATION_OPTIONS } from './mount-flags.ts';
import type { MountOption } from './option-list.ts';
import { formatOptionList } from './option-list.ts';

/** What the options ask for, sorted by who has to do it. */
export interface MountWishes {
  /** Of mount(2), without those of an operation. */
  readonly flags: number;
  /** Flags that an option named, set or cleared: what remount is to change. */
  readonly namedFlags: number;
  /** Remount, bind, move; 0 for the mount of a file system. */
  readonly operation: number;
  /** Each is a call of its own. */
  readonly propagation: readonly number[];
  /** `loop`, or `loop=` with the name of a device. */
  readonly loop: { readonly device: string | undefined } | undefined;
  /** Bytes into the source; undefined when it was not given. */
  readonly offset: number | undefined;
  /** Bytes. */
  readonly sizeLimit: number | undefined;
  /** Number of the partition of the source. */
  readonly partition: number | undefined;
  /** Who besides root may mount and unmount. */
  readonly users: 'user' | 'users' | 'owner' | 'group' | undefined;
  readonly noAuto: boolean;
  /** No complaint about a source that is not there. */
  readonly noFail: boolean;
  /** Make the directory with this mode. */
  readonly makeDirectory: number | undefined;
  /** What is left is for the file system. */
  readonly fileSystem: readonly MountOption[];
  /** Everything, for the list of mounts and the messages. */
  readonly all: readonly MountOption[];
}

const SECURE = MountFlag.noExec | MountFlag.noSuid | MountFlag.noDev;
const OWNER_SECURE = MountFlag.noSuid | MountFlag.noDev;
/** For others than mount: boot scripts, desktops, helpers. */
const FOR_OTHERS = new Set([
  'defaults',
  'auto',
  '_netdev',
  'comment',
  'helper',
  'uhelper',
  'nofail',
  'noauto',
]);

/** Sorts options, of which the later override the earlier. MountFailure for a value that cannot be. */
export function mountWishes(options: readonly MountOption[], target: string): MountWishes {
  let flags = 0;
  let named = 0;
  let operation = 0;
  let users: MountWishes['users'];
  let loop: MountWishes['loop'];
  let noAuto = false;
  let noFail = false;
  let makeDirectory: number | undefined;
  const propagation: number[] = [];
  const numbers: { offset?: number; sizelimit?: number; partition?: number } = {};
  const fileSystem: MountOption[] = [];

  for (const option of options) {
    const { name, value } = option;
    const change = FLAG_OPTIONS[name];
    const act = OPERATION_OPTIONS[name];
    const share = PROPAGATION_OPTIONS[name];
    if (change !== undefined && value === undefined) {
      flags = (flags & ~change.clear) | change.set;
      named |= change.set | change.clear;
    } else if (act !== undefined) operation |= act;
    else if (share !== undefined) propagation.push(share);
    else if (name === 'user' || name === 'users' || name === 'owner' || name === 'group') {
      users = name;
      const implied = name === 'user' || name === 'users' ? SECURE : OWNER_SECURE;
      flags |= implied;
      named |= implied;
    } else if (/^no(?:user|users|owner|group)$/.test(name)) {
      if (name.slice(2) === users) users = undefined;
    } else if (name === 'loop') loop = { device: value === '' ? undefined : value };
    else if (name === 'offset' || name === 'sizelimit')
      numbers[name] = size(value) ?? invalid(options, target);
    else if (name === 'partition') {
      numbers.partition = /^[1-9]\d{0,2}$/.test(value ?? '') ? Number(value) : invalid(options, target);
    } else if (name === 'noauto') noAuto = true;
    else if (name === 'auto') noAuto = false;
    else if (name === 'nofail') noFail = true;
    else if (name === 'X-mount.mkdir' || name === 'x-mount.mkdir')
      makeDirectory = directoryMode(value) ?? invalid(options, target);
    else if (name.startsWith('X-mount.'))
      throw new MountFailure(`${target}: the option "${name}" is not supported`, 1);
    else if (!FOR_OTHERS.has(name) && !/^x-/i.test(name)) fileSystem.push(option);
  }
  return {
    flags,
    namedFlags: named,
    operation,
    propagation,
    loop,
    offset: numbers.offset,
    sizeLimit: numbers.sizelimit,
    partition: numbers.partition,
    users,
    noAuto,
    noFail,
    makeDirectory,
    fileSystem,
    all: options,
  };
}

function invalid(options: readonly MountOption[], target: string): never {
  // mount(8) says rw where neither is given.
  const hasMode = options.some(({ name }) => name === 'ro' || name === 'rw');
  const text = formatOptionList(hasMode ? options : [{ name: 'rw', value: undefined }, ...options]);
  throw new MountFailure(`${target}: failed to parse mount options '${text}': Invalid argument.`, 1);
}

function size(value: string | undefined): number | undefined {
  return value === undefined ? undefined : parseSize(value);
}

/** Octal; 0755 when none is given. */
function directoryMode(value: string | undefined): number | undefined {
  if (value === undefined || value === '') return 0o755;
  return /^[0-7]{1,4}$/.test(value) ? parseInt(value, 8) : undefined;
}
