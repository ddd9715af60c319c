import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { hasCode } from '../../src/errors.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { type FatFormatOptions, formatFat } from '../../src/filesystem/fat/format.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { Random } from '../support/random.ts';
import { FatModelRun, seededRandom } from '../support/fat-driver-model.ts';
import { BytesDevice, cutKinds, RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/** A session with every kind of change, several commits, and reuse of what was freed. */
function session(fs_: FileSystem): void {
  const { root } = fs_;
  const folder = fs_.create(root, 'a folder', { kind: 'directory' });
  const inner = fs_.create(folder, 'inner', { kind: 'directory' });
  const files: NodeId[] = [];
  for (let i = 0; i < 12; i++) {
    const file = fs_.create(i % 2 === 0 ? folder : root, `a file with a long name ${i}.text`, {
      kind: 'file',
    });
    fs_.write(file, 0, new Uint8Array(700 * i + 1).fill(i + 1));
    files.push(file);
  }
  fs_.sync();
  fs_.rename(root, 'a file with a long name 1.text', inner, 'moved.txt');
  fs_.rename(folder, 'a file with a long name 0.text', folder, 'renamed within its directory.txt');
  fs_.rename(folder, 'a file with a long name 2.text', root, 'a file with a long name 3.text');
  fs_.unlink(root, 'a file with a long name 5.text');
  fs_.setAttributes(files[4]!, { size: 600 });
  fs_.write(files[4]!, 600, new Uint8Array(2000).fill(0xaa));
  fs_.sync();
  fs_.rename(root, 'a folder', root, 'folder under another name');
  const late = fs_.create(root, 'late and large', { kind: 'file' });
  fs_.write(late, 0, new Uint8Array(60_000).fill(0xbb));
  fs_.setAttributes(files[6]!, { size: 0 });
  fs_.rename(folder, 'inner', root, 'inner');
  fs_.rename(root, 'late and large', inner, 'moved.txt');
  fs_.sync();
  const other = fs_.create(root, 'other', { kind: 'directory' });
  fs_.rename(root, 'inner', other, 'inner');
  fs_.unlink(folder, 'a file with a long name 8.text');
  fs_.close();
}

/** Files that hold bytes which the session never wrote into one file together. */
function strangeContent(volume: FileSystem, directory: NodeId = volume.root): string[] {
  const strange: string[] = [];
  for (const { name, node, kind } of volume.entries(directory)) {
    if (kind === 'directory') {
      strange.push(...strangeContent(volume, node));
      continue;
    }
    const content = new Uint8Array(volume.attributes(node).size);
    volume.read(node, 0, content);
    const values = [...new Set(content)];
    const isOwn = values.length <= 1 && values[0] !== 0;
    const isExtended = values.length === 2 && values[0] === 5 && values[1] === 0xaa;
    if (!isOwn && !isExtended) strange.push(`${name} holds ${values.join()}`);
  }
  return strange;
}

const RANDOM_CUTS = 60;

/**
 * USERLOOP_CRASH_WORKLOADS: sessions for each kind of volume that are cut at every flush and at 20 points between, where a device that reorders
 * has written some of what came since; USERLOOP_CRASH_OPERATIONS; USERLOOP_SEED.
 */
const WORKLOADS = Number(process.env['USERLOOP_CRASH_WORKLOADS'] ?? 1);
const OPERATIONS = Number(process.env['USERLOOP_CRASH_OPERATIONS'] ?? 120);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 31_000);

interface FoundFile {
  readonly node: NodeId;
  readonly content: string;
}

/** Every file, after a flush. */
interface DurableFiles {
  readonly flushes: number;
  readonly files: Map<string, FoundFile>;
}

function filesOf(
  volume: FileSystem,
  directory = volume.root,
  prefix = '',
  files = new Map<string, FoundFile>(),
) {
  for (const { name, node, kind } of volume.entries(directory)) {
    const file = `${prefix}/${name}`;
    if (kind === 'directory') {
      filesOf(volume, node, file, files);
      continue;
    }
    const content = new Uint8Array(volume.attributes(node).size);
    volume.read(node, 0, content);
    files.set(file, { node, content: Buffer.from(content).toString('latin1') });
  }
  return files;
}

/** Random operations; what was there whenever all of it was durable. */
function recordSession(device: RecordedDevice, seed: number): DurableFiles[] {
  const model = new FatModelRun(device, seed, 12_000);
  const states: DurableFiles[] = [{ flushes: device.flushes, files: filesOf(model.fs) }];
  for (let step = 0; step < OPERATIONS; step++) {
    model.step();
    if (step % 15 !== 14) continue;
    model.fs.sync();
    states.push({ flushes: device.flushes, files: filesOf(model.fs) });
  }
  model.fs.close();
  states.push({ flushes: device.flushes, files: filesOf(FatFileSystem.open(device)) });
  return states;
}

/** Files that were durable and are so again after the next flush of all, as they were, and are missing or different now. */
function lostFiles(
  states: readonly DurableFiles[],
  flushes: number,
  found: Map<string, FoundFile>,
): string[] {
  const index = states.findLastIndex((state) => state.flushes <= flushes);
  const before = states[index]?.files ?? new Map<string, FoundFile>();
  const after = states[index + 1]?.files ?? before;
  return [...before]
    .filter(([name, { node, content }]) => {
      const next = after.get(name);
      // Another file may have got the name.
      return next?.node === node && next.content === content && found.get(name)?.content !== content;
    })
    .map(([name]) => `${name} is not what it was`);
}

/** What fsck.fat says when space is lost, an interrupted session was not closed, or FSInfo lags: none of it harms. */
const HARMLESS = [
  /^fsck\.fat 4\.2/,
  /^\s*$/,
  /^Dirty bit is set/,
  /^ ?Automatically removing dirty bit/,
  /^FATs differ but appear to be intact/,
  /^ {2}Using first FAT/,
  /^There are differences between boot sector and its backup/,
  /^This is mostly harmless/,
  /^ {2}65:01\/00$/,
  /^ {2}Not automatically fixing this/,
  /^Reclaimed \d+ unused clusters? \(\d+ bytes\)/,
  /^Free cluster summary wrong/,
  /^ {2}Auto-correcting/,
  /^Leaving filesystem unchanged/,
  // A long name whose slots lie in two clusters was half written or half removed.
  /^Long filename fragment ".*" found outside a LFN sequence/,
  /^ {2}\(Maybe the start bit is missing on the last fragment\)/,
  /^ {2}Not auto-correcting this/,
  /^A new long file name starts within an old one\./,
  /^Orphaned long file name part/,
  /^ {2}Auto-deleting/,
  /files, \d+\/\d+ clusters/,
];

/** A chain that is longer than its file: space again. One that is shorter says `is N bytes`, without `>`. */
const LONG_CHAIN =
  /^\/.*\n {2}File size is \d+ bytes, cluster chain length is > \d+ bytes\.\n {2}Truncating.*\n/gm;

/** What fsck.fat has to say about an image beyond that. */
function harmIn(image: string): string[] {
  const { stdout } = runTool('fsck.fat', ['-n', image]);
  return stdout
    .replaceAll(LONG_CHAIN, '')
    .split('\n')
    .filter((line) => !HARMLESS.some((known) => known.test(line)));
}

const VOLUMES: readonly [name: string, size: number, options: Omit<FatFormatOptions, 'volumeId'>][] = [
  ['FAT12', 360 * 1024, {}],
  ['FAT16', 2400 * 1024, { fatBits: 16, sectorsPerCluster: 1 }],
  ['FAT32', 2 << 20, { fatBits: 32 }],
];

describeWithTools(['fsck.fat'], 'A session that is cut off at any of its writes', () => {
  const folder = memoryFolder();
  for (const [name, size, options] of VOLUMES) {
    it(`costs ${name} space at most`, () => {
      const image = path.join(folder, `${name}.img`);
      const problems: string[] = [];
      let cuts = 0;
      for (let cut = 0; ; cut++) {
        const memory = new MemoryDevice(size);
        formatFat(memory, { ...options, volumeId: 1 });
        const device = new FaultDevice(memory, { failWritesFrom: cut });
        let wasCut = false;
        try {
          session(FatFileSystem.open(device));
        } catch (error) {
          if (!hasCode(error, 'EIO')) throw error;
          wasCut = true;
        }
        problems.push(...strangeContent(FatFileSystem.open(memory)).map((what) => `write ${cut}: ${what}`));
        fs.writeFileSync(image, memory.toBytes());
        problems.push(...harmIn(image).map((what) => `write ${cut}: ${what}`));
        if (!wasCut) break;
        cuts++;
      }
      expect(problems).toEqual([]);
      expect(cuts).toBeGreaterThan(30);
    });
    it(`costs ${name} space at most when its operations are random (${RANDOM_CUTS} seeds)`, () => {
      const image = path.join(folder, `${name}.img`);
      const problems: string[] = [];
      let cuts = 0;
      for (let seed = 1; seed <= RANDOM_CUTS; seed++) {
        const memory = new MemoryDevice(size);
        formatFat(memory, { ...options, volumeId: 1 });
        const device = new FaultDevice(memory, { failWritesFrom: seededRandom(seed)(300) });
        const model = new FatModelRun(device, seed, 12_000);
        try {
          for (let step = 0; step < 500; step++) model.step();
        } catch (error) {
          if (!hasCode(error, 'EIO')) throw error;
          cuts++;
        }
        fs.writeFileSync(image, memory.toBytes());
        problems.push(...harmIn(image).map((what) => `seed ${seed}: ${what}`));
      }
      expect(problems).toEqual([]);
      expect(cuts).toBeGreaterThan(RANDOM_CUTS / 2);
    });
    it(`leaves no chain of ${name} that leads to free clusters when a file gets shorter`, () => {
      const image = path.join(folder, `${name}.img`);
      const memory = new MemoryDevice(size);
      formatFat(memory, { ...options, volumeId: 1 });
      const before = FatFileSystem.open(memory);
      const file = before.create(before.root, 'file', { kind: 'file' });
      before.write(file, 0, new Uint8Array(300_000).fill(1));
      before.close();
      const device = new RecordedDevice(memory.toBytes());
      const volume = FatFileSystem.open(device);
      volume.setAttributes(volume.lookup(volume.root, 'file')!, { size: 50_000 });
      volume.close();
      const problems: string[] = [];
      const kinds = () => cutKinds(new Random(SEED), 25);
      device.forEachCut(new Random(SEED), kinds, (state, epoch, kind) => {
        fs.writeFileSync(image, state);
        problems.push(...harmIn(image).map((harm) => `${kind} after flush ${epoch}: ${harm}`));
        const found = filesOf(FatFileSystem.open(new BytesDevice(state, { readOnly: true })));
        expect([50_000, 300_000]).toContain(found.get('/file')?.content.length);
      });
      expect(problems).toEqual([]);
    });
    it(`costs ${name} space at most when a device that reorders loses its power (seed ${SEED})`, () => {
      const image = path.join(folder, `${name}.img`);
      const problems: string[] = [];
      let cuts = 0;
      for (let workload = 0; workload < WORKLOADS; workload++) {
        const seed = SEED + workload;
        const memory = new MemoryDevice(size);
        formatFat(memory, { ...options, volumeId: 1 });
        const device = new RecordedDevice(memory.toBytes());
        const states = recordSession(device, seed);
        const random = new Random(seed);
        const perEpoch = Math.ceil(20 / device.flushes);
        const kinds = () => cutKinds(random, perEpoch);
        device.forEachCut(random, kinds, (state, epoch, kind) => {
          cuts++;
          const what = `seed ${seed}, ${kind} of the writes after flush ${epoch}`;
          fs.writeFileSync(image, state);
          problems.push(...harmIn(image).map((harm) => `${what}: ${harm}`));
          const found = filesOf(FatFileSystem.open(new BytesDevice(state, { readOnly: true })));
          problems.push(...lostFiles(states, epoch, found).map((lost) => `${what}: ${lost}`));
        });
      }
      if (process.env['USERLOOP_CRASH_WORKLOADS'] !== undefined)
        console.log(`${name}: ${WORKLOADS} sessions, ${cuts} cuts`);
      expect(problems).toEqual([]);
    });
  }
});
