import { viewOf } from '../../src/bytes/struct.ts';
import { FAT_ENTRY_CODECS } from '../../src/filesystem/fat/fat-entry-codec.ts';
import { geometryOf } from '../../src/filesystem/fat/geometry.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { type FatFormatOptions, formatFat } from '../../src/filesystem/fat/format.ts';

/** Good volumes, and damage to them: one kind of damage a function, so that each is met. */

export type Random = (below: number) => number;

export const GOOD_VOLUMES: readonly [
  name: string,
  size: number,
  options: Omit<FatFormatOptions, 'volumeId'>,
][] = [
  ['FAT12', 160 * 1024, {}],
  ['FAT16', 2200 * 1024, { fatBits: 16, sectorsPerCluster: 1 }],
  ['FAT32', 600 * 1024, { fatBits: 32, sectorsPerCluster: 1 }],
];

/** Directories four deep, long and short names, fragmented files, deleted entries, a label. */
export function goodVolume(size: number, options: Omit<FatFormatOptions, 'volumeId'>): Uint8Array {
  const device = new MemoryDevice(size);
  formatFat(device, { ...options, volumeId: 0xcafe });
  const volume = FatFileSystem.open(device);
  let folder = volume.root;
  for (let depth = 0; depth < 4; depth++) {
    for (let i = 0; i < 6; i++) {
      const name = i % 2 === 0 ? `a long name for file ${i} at depth ${depth}` : `FILE${i}.TXT`;
      const file = volume.create(folder, name, { kind: 'file' });
      volume.write(file, 0, new Uint8Array(i * 700 + depth).fill(i));
    }
    folder = volume.create(folder, depth % 2 === 0 ? 'SHORT' : 'a longer directory name', {
      kind: 'directory',
    });
  }
  volume.unlink(volume.root, 'a long name for file 2 at depth 0');
  volume.write(
    volume.lookup(volume.root, 'a long name for file 4 at depth 0')!,
    0,
    new Uint8Array(5000).fill(9),
  );
  volume.label = 'GOOD';
  volume.close();
  return device.toBytes();
}

interface Target {
  readonly image: Uint8Array;
  readonly view: DataView;
  readonly random: Random;
  /** Byte offsets of slots in use, by kind. */
  readonly slots: {
    readonly short: readonly number[];
    readonly long: readonly number[];
    readonly dot: readonly number[];
  };
  /** Clusters in use. */
  readonly used: readonly number[];
  readonly lastCluster: number;
  readonly isFat32: boolean;
  readonly get: (cluster: number) => number;
  /** In all copies. */
  readonly set: (cluster: number, value: number) => void;
  /** In the copy with this number only. */
  readonly setIn: (copy: number, cluster: number, value: number) => void;
  readonly end: number;
}

type Damage = (target: Target) => void;

function pick<T>(random: Random, list: readonly T[]): T | undefined {
  return list.length === 0 ? undefined : list[random(list.length)];
}

export const DAMAGES: Readonly<Record<string, Damage>> = {
  'a link out of range': ({ random, used, set, lastCluster }) =>
    set(pick(random, used)!, lastCluster + 1 + random(50)),
  'a link to 1': ({ random, used, set }) => set(pick(random, used)!, 1),
  'a free cluster in a chain': ({ random, used, set }) => set(pick(random, used)!, 0),
  'a chain cut short': ({ random, used, set, end }) => set(pick(random, used)!, end),
  'a link to another file': ({ random, used, set }) => set(pick(random, used)!, pick(random, used)!),
  'a loop': ({ random, used, set }) => {
    const cluster = pick(random, used)!;
    set(cluster, cluster);
  },
  'lost clusters': ({ random, set, lastCluster, end, get }) => {
    const cluster = lastCluster - 1 - random(30);
    if (get(cluster) !== 0 || get(cluster + 1) !== 0) return;
    set(cluster, cluster + 1);
    set(cluster + 1, end);
  },
  'copies that differ': ({ random, used, setIn }) => setIn(1, pick(random, used)!, random(40)),
  'a first copy without its media byte': ({ setIn }) => setIn(0, 0, 0),
  'a start cluster that is another': ({ view, random, slots, used }) =>
    view.setUint16(pick(random, slots.short)! + 0x1a, pick(random, used)!, true),
  'a start cluster out of range': ({ view, random, slots, lastCluster }) =>
    view.setUint16(pick(random, slots.short)! + 0x1a, pick(random, [1, lastCluster + 1, 0xfff0])!, true),
  'a size that is another': ({ view, random, slots }) =>
    view.setUint32(pick(random, slots.short)! + 0x1c, random(20_000), true),
  'an attribute bit': ({ image, random, slots }) => {
    image[pick(random, slots.short)! + 0x0b]! ^= pick(random, [0x01, 0x02, 0x10, 0x20])!;
  },
  'a character of a short name': ({ image, random, slots }) => {
    image[pick(random, slots.short)! + random(11)] = pick(random, [0x2a, 0x3f, 0x01, 0x61, 0x22, 0x20])!;
  },
  'a name that is there twice': ({ image, random, slots }) => {
    const [from, to] = [pick(random, slots.short)!, pick(random, slots.short)!];
    image.copyWithin(to, from, from + 11);
  },
  'a deleted short entry': ({ image, random, slots }) => {
    image[pick(random, slots.short)!] = 0xe5;
  },
  'a byte of a long name': ({ image, random, slots }) => {
    const slot = pick(random, slots.long);
    if (slot !== undefined) image[slot + pick(random, [0x00, 0x0c, 0x0d, 0x1a])!] = random(256);
  },
  'a deleted long entry': ({ image, random, slots }) => {
    const slot = pick(random, slots.long);
    if (slot !== undefined) image[slot] = 0xe5;
  },
  'a dot entry': ({ image, random, slots }) => {
    const slot = pick(random, slots.dot);
    if (slot !== undefined) image[slot + pick(random, [0, 1, 0x0b, 0x1a])!] = random(256);
  },
  'the dirty mark': ({ image, isFat32 }) => {
    image[isFat32 ? 0x41 : 0x25]! |= 1;
  },
  'the label of the boot sector': ({ image, isFat32, random }) => {
    image[(isFat32 ? 0x47 : 0x2b) + random(4)] = 0x41 + random(26);
  },
  FSInfo: ({ image, isFat32, random }) => {
    if (isFat32) image[512 + pick(random, [0, 0x1e4, 0x1e8, 0x1e9, 0x1fe])!] = random(256);
  },
  'the copy of the boot sector': ({ image, isFat32, random }) => {
    if (isFat32) image[6 * 512 + random(90)] = random(256);
  },
  'a byte of the boot sector': ({ image, random }) => {
    image[0x0b + random(0x50)] = random(256);
  },
  'a byte of a directory': ({ image, random, slots }) => {
    image[pick(random, [...slots.short, ...slots.long])! + random(32)] = random(256);
  },
  'a byte of the FAT': ({ image, random }) => {
    const { fatOffset } = geometryOf(image);
    image[fatOffset + random(400)] = random(256);
  },
};

/** The image with that damage done to it; the same for the same seed. */
export function damage(good: Uint8Array, kind: string, random: Random): Uint8Array {
  const image = good.slice();
  DAMAGES[kind]!(targetOf(image, random));
  return image;
}

function targetOf(image: Uint8Array, random: Random): Target {
  const view = viewOf(image);
  const geometry = geometryOf(image);
  const codec = FAT_ENTRY_CODECS[geometry.type];
  const { fatOffset, fatSize, fatCount, clusterCount, dataOffset, clusterSize, rootOffset, rootSize } =
    geometry;
  const table = (copy: number): DataView =>
    new DataView(image.buffer, image.byteOffset + fatOffset + copy * fatSize, fatSize);
  const used: number[] = [];
  for (let cluster = 2; cluster < clusterCount + 2; cluster++) {
    if (codec.get(table(0), cluster) !== 0) used.push(cluster);
  }
  const slots = { short: [] as number[], long: [] as number[], dot: [] as number[] };
  const scan = (start: number, length: number): void => {
    for (let slot = start; slot < start + length; slot += 32) {
      if (image[slot] === 0 || image[slot] === 0xe5) continue;
      if (image[slot + 0x0b] === 0x0f) slots.long.push(slot);
      else if (image[slot] === 0x2e) slots.dot.push(slot);
      else if ((image[slot + 0x0b]! & 0x08) === 0) slots.short.push(slot);
    }
  };
  scan(rootOffset, rootSize);
  // Content of files is of bytes below 10: what looks like names are names.
  for (const cluster of used) {
    const start = dataOffset + (cluster - 2) * clusterSize;
    if (image[start] === 0x2e || (geometry.type === 'fat32' && cluster === geometry.rootCluster))
      scan(start, clusterSize);
  }
  return {
    image,
    view,
    random,
    slots,
    used,
    lastCluster: clusterCount + 1,
    isFat32: geometry.type === 'fat32',
    end: codec.end,
    get: (cluster) => codec.get(table(0), cluster),
    set: (cluster, value) => {
      for (let copy = 0; copy < fatCount; copy++) codec.set(table(copy), cluster, value);
    },
    setIn: (copy, cluster, value) => codec.set(table(copy), cluster, value),
  };
}
