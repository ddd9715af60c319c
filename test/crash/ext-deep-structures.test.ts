import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { cutKinds, RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/**
 * Power cuts while files have extent trees and indirect blocks of several levels, and directories hash trees, on volumes without a journal. After e2fsck
 * every block of a file that was durable and not changed since holds what it held, no block holds what nobody wrote there, and durable names are there.
 *
 * USERLOOP_CRASH_WORKLOADS: sessions for each kind of volume; USERLOOP_SEED.
 */
const WORKLOADS = Number(process.env['USERLOOP_CRASH_WORKLOADS'] ?? 1);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 91_000);
const isLongForm = process.env['USERLOOP_CRASH_WORKLOADS'] !== undefined;
const STEPS = 14;
const BLOCK = 1024;
/** Blocks that the file may have: enough for two levels of indirect blocks, and for a tree of two levels when every other is a hole. */
const FILE_BLOCKS = 1400;

const KINDS = [
  { name: 'ext2', args: ['-t', 'ext2', '-b', '1024'] },
  { name: 'ext4', args: ['-t', 'ext4', '-b', '1024', '-O', '^has_journal'] },
  {
    name: 'ext4 without checksums',
    args: ['-t', 'ext4', '-b', '1024', '-O', '^has_journal,^metadata_csum'],
  },
];

/** What costs space, or is an index that is made anew, and what e2fsck says around it. */
const HARMLESS = [
  /^$/,
  /^Pass \d/,
  /^e2fsck 1\./,
  /FILE SYSTEM WAS MODIFIED/,
  /files \(.*blocks$/,
  /^(Unattached|Unconnected) .*/,
  /^Connect to \/lost\+found\? yes/,
  /^(Fix|Clear|Clear inode|Clear HTree index|Optimize)\? yes/,
  /^Inode \d+ ref count is \d+, should be \d+\./,
  /^(Block|Inode) bitmap differences:/,
  /^FIXED\.$/,
  /^(Free blocks|Free inodes|Directories) count wrong/,
  /^Inode \d+, i_size is \d+, should be \d+\./,
  /^Inode \d+, i_blocks is \d+, should be \d+\./,
  /^Inode \d+ extent tree \(at level \d\) could be (narrower|shorter)\./,
  // Names that have moved to a new block and are in the old one, too, or the other way round.
  /^(Problem in HTREE directory inode|Invalid HTREE directory inode|HTREE directory inode) .*/,
  /^Duplicate entry '.*' in .* found\. {2}Clear\? yes/,
];

interface DurableContent {
  readonly flushes: number;
  /** Stamp by block of the file. */
  readonly blocks: ReadonlyMap<number, number>;
  readonly names: ReadonlySet<string>;
  /** What was changed before the next such state. */
  readonly touched: Set<number>;
  readonly removed: Set<string>;
}

/** A session whose file and directory are remembered as they were whenever they were durable. */
class DeepSession {
  readonly states: DurableContent[] = [];
  readonly #device: RecordedDevice;
  readonly #random: Random;
  readonly #volume: FileSystem;
  readonly #file: NodeId;
  readonly #directory: NodeId;
  readonly #blocks = new Map<number, number>();
  readonly #names = new Set<string>();
  #stamps = 0;

  constructor(device: RecordedDevice, random: Random) {
    this.#device = device;
    this.#random = random;
    this.#volume = extDriver.open(device, { clock: steppingClock() });
    this.#file = this.#volume.create(this.#volume.root, 'file', { kind: 'file' });
    this.#directory = this.#volume.create(this.#volume.root, 'directory', { kind: 'directory' });
    this.#sync();
  }

  run(): void {
    for (let i = 0; i < STEPS; i++) {
      for (let change = this.#random.below(3); change >= 0; change--) this.#change();
      for (let names = this.#random.below(40); names > 0; names--) this.#changeNames();
      this.#sync();
    }
    this.#volume.close();
  }

  #sync(): void {
    this.#volume.sync();
    this.states.push({
      flushes: this.#device.flushes,
      blocks: new Map(this.#blocks),
      names: new Set(this.#names),
      touched: new Set(),
      removed: new Set(),
    });
  }

  #change(): void {
    const random = this.#random;
    const at = random.below(FILE_BLOCKS);
    const roll = random.below(10);
    // Every other block, in either direction: many extents.
    if (roll < 4) for (let i = 0; i < 120; i++) this.#write((at + 2 * i) % FILE_BLOCKS, 1);
    else if (roll < 5) for (let i = 120; i > 0; i--) this.#write(2 * i, 1);
    // As long as there are holes between, they are joined.
    else if (roll < 7) this.#write(at, 1 + random.below(Math.min(200, FILE_BLOCKS - at)));
    else if (roll < 8) this.#forgetFrom(at, FILE_BLOCKS, () => this.#resize(at));
    else if (roll < 9) {
      const end = Math.min(FILE_BLOCKS, at + 1 + random.below(150));
      this.#forgetFrom(at, end, () => this.#volume.punch!(this.#file, at * BLOCK, (end - at) * BLOCK));
    } else this.#allocateAhead(at, Math.min(FILE_BLOCKS, at + 1 + random.below(100)));
  }

  #allocateAhead(from: number, to: number): void {
    try {
      this.#volume.preallocate?.(this.#file, from * BLOCK, (to - from) * BLOCK);
    } catch {
      // A block map cannot say it.
    }
  }

  #resize(block: number): void {
    const size = block * BLOCK;
    if (this.#volume.attributes(this.#file).size > size) this.#volume.setAttributes(this.#file, { size });
  }

  #forgetFrom(from: number, to: number, change: () => void): void {
    change();
    for (let block = from; block < to; block++) {
      this.states.at(-1)!.touched.add(block);
      this.#blocks.delete(block);
    }
  }

  #write(from: number, count: number): void {
    const bytes = new Uint8Array(count * BLOCK);
    const view = viewOf(bytes);
    for (let i = 0; i < count; i++) {
      this.#stamps++;
      for (let at = i * BLOCK; at < (i + 1) * BLOCK; at += 8) {
        view.setUint32(at, from + i);
        view.setUint32(at + 4, this.#stamps);
      }
      this.#blocks.set(from + i, this.#stamps);
      this.states.at(-1)!.touched.add(from + i);
    }
    this.#volume.write(this.#file, from * BLOCK, bytes);
  }

  #changeNames(): void {
    const name = `${'n'.repeat(160)}${this.#random.below(700)}`;
    if (!this.#names.has(name)) {
      this.#volume.link(this.#file, this.#directory, name);
      this.#names.add(name);
    } else if (this.#random.below(6) === 0) {
      this.#volume.unlink(this.#directory, name);
      this.#names.delete(name);
      this.states.at(-1)!.removed.add(name);
    }
  }
}

/** What a volume that e2fsck has mended lacks of what was durable, and blocks that hold what nobody wrote there. */
function faultsOf(volume: FileSystem, states: readonly DurableContent[], flushes: number): string[] {
  const state = states.findLast((candidate) => candidate.flushes <= flushes);
  if (state === undefined) return [];
  const faults: string[] = [];
  const directory = volume.lookup(volume.root, 'directory')!;
  for (const name of state.names) {
    if (!state.removed.has(name) && volume.lookup(directory, name) === undefined)
      faults.push(`${name.slice(-5)} is lost`);
  }
  const file = volume.lookup(volume.root, 'file')!;
  const content = new Uint8Array(FILE_BLOCKS * BLOCK);
  volume.read(file, 0, content);
  const view = viewOf(content);
  for (let block = 0; block < FILE_BLOCKS; block++) {
    const stamp = view.getUint32(block * BLOCK + 4);
    const isOwn = stamp === 0 || view.getUint32(block * BLOCK) === block;
    if (!isOwn) faults.push(`block ${block} holds what belongs elsewhere`);
    const expected = state.blocks.get(block) ?? 0;
    if (!state.touched.has(block) && stamp !== expected)
      faults.push(`block ${block} holds stamp ${stamp} instead of ${expected}`);
  }
  return faults;
}

const folder = memoryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'A power cut while trees of several levels change', () => {
  for (const [index, { name, args }] of KINDS.entries()) {
    test(`costs space at most: ${name} (seed ${SEED})`, () => {
      const image = path.join(folder, `${index}.img`);
      expect(runTool('mke2fs', ['-q', '-F', ...args, image, '4M']).status).toBe(0);
      const base = new Uint8Array(fs.readFileSync(image));
      const problems: string[] = [];
      let cuts = 0;
      for (let workload = 0; workload < WORKLOADS; workload++) {
        const seed = SEED + 1000 * index + workload;
        const random = new Random(seed);
        const device = new RecordedDevice(base, BLOCK);
        const session = new DeepSession(device, random);
        session.run();
        const kinds = (epoch: number) =>
          isLongForm || epoch % 6 === 5 ? cutKinds(random, 1).slice(random.below(2)) : [];
        device.forEachCut(random, kinds, (cut, epoch, kind) => {
          cuts++;
          const what = `seed ${seed}, ${kind} of the writes after flush ${epoch}`;
          fs.writeFileSync(image, cut);
          const { stdout } = runTool('e2fsck', ['-fy', image]);
          const harm = stdout.split('\n').filter((line) => !HARMLESS.some((known) => known.test(line)));
          const mended = MemoryDevice.from(new Uint8Array(fs.readFileSync(image)), { readOnly: true });
          const faults = faultsOf(extDriver.open(mended), session.states, epoch);
          problems.push(...[...harm, ...faults].map((problem) => `${what}: ${problem}`));
        });
      }
      if (isLongForm) console.log(`${name}: ${WORKLOADS} sessions, ${cuts} cuts`);
      expect(problems.slice(0, 20)).toEqual([]);
    });
  }
});
