import fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type SfdiskCall, SfdiskPairs } from '../support/sfdisk-runs.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

const MIB = 2 ** 20;
const UUID = '12345678-1234-1234-1234-123456789abc';
const DOS = 'label: dos\nlabel-id: 0x12345678\n';
const PART = 'uuid=11111111-2222-3333-4444-555555555551';
const GPT = 'label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n';
/** `USERLOOP_SFDISK_LONG=1`: more scripts, and each once more with -q. */
const LONG = process.env['USERLOOP_SFDISK_LONG'] === '1';
const QUIET = LONG ? [[], ['-q']] : [[]];
const SCRIPTS = [`${DOS},5M\n`, `${GPT}write\n`, ...(LONG ? [`${GPT}size=5M,${PART}\n`, ''] : [])];
const MODES = ['auto', 'always', 'never'] as const;

/** What makes a signature at this byte of an image of 40 MiB. */
const SIGNATURES: Readonly<Record<string, (image: string, offset: number) => void>> = {
  ext2: (image, offset) => mke2fs(image, 'ext2', offset),
  ext3: (image, offset) => mke2fs(image, 'ext3', offset),
  ext4: (image, offset) => mke2fs(image, 'ext4', offset),
  FAT12: (image, offset) => mkfsFat(image, 12, offset),
  FAT16: (image, offset) => mkfsFat(image, 16, offset),
  FAT32: (image, offset) => mkfsFat(image, 32, offset),
  swap: (image, offset) => copyInto(image, offset, (file) => runTool('mkswap', ['-U', UUID, file])),
};
const TABLES: Readonly<Record<string, (image: string) => void>> = {
  'an MBR': (image) => void runTool('sfdisk', ['-q', image], { input: `${DOS},5M\n` }),
  'a GPT': (image) => void runTool('sfdisk', ['-q', image], { input: `${GPT}size=5M,${PART}\n` }),
};

function mke2fs(image: string, type: string, offset: number): void {
  const options = `hash_seed=${UUID},offset=${offset},lazy_itable_init=0`;
  runTool('mke2fs', ['-q', '-F', '-t', type, '-U', UUID, '-E', options, image, '8M'], {
    env: { E2FSPROGS_FAKE_TIME: '1000000000' },
  });
}

function mkfsFat(image: string, bits: number, offset: number): void {
  const blocks = bits === 12 ? '4096' : bits === 16 ? '20000' : '34000';
  runTool('mkfs.fat', ['--invariant', '-F', String(bits), `--offset=${offset / 512}`, image, blocks]);
}

/** For a tool that knows of no offset. */
function copyInto(image: string, offset: number, make: (file: string) => void): void {
  const file = `${image}.part`;
  runTool('truncate', ['-s', String(8 * MIB), file]);
  make(file);
  runTool('dd', [`if=${file}`, `of=${image}`, 'bs=64K', `seek=${offset / 65536}`, 'conv=notrunc,sparse']);
  runTool('rm', [file]);
}

describeWithTools(['sfdisk', 'mke2fs', 'mkfs.fat', 'mkswap'], 'sfdisk wipes what util-linux wipes', () => {
  async function compare(prepare: (image: string) => void, calls: readonly SfdiskCall[]): Promise<void> {
    const folder = memoryFolder();
    const pairs = new SfdiskPairs(folder);
    pairs.reset(40 * MIB);
    prepare(pairs.images[0]);
    runTool('cp', ['--sparse=always', ...pairs.images]);
    for (const each of calls) {
      const { ours, reference, difference } = await pairs.call(each);
      expect({ each, ...ours }).toEqual({ each, ...reference });
      expect({ each, difference }).toEqual({ each, difference: undefined });
    }
    fs.rmSync(folder, { recursive: true });
  }

  const whole = Object.entries({ ...SIGNATURES, ...TABLES });
  describe.concurrent.each(whole)('on a disk with %s', (_, make) => {
    test.each(MODES)('--wipe %s', async (mode) => {
      for (const quiet of QUIET) {
        for (const script of SCRIPTS) {
          await compare((image) => make(image, 0), [{ args: ['-w', mode, ...quiet], script }]);
        }
      }
    });
  });

  describe.concurrent.each(Object.entries(SIGNATURES))('in a partition with %s', (_, make) => {
    test.each(MODES)('--wipe-partitions %s', async (mode) => {
      for (const quiet of QUIET) {
        await compare(
          (image) => make(image, MIB),
          [
            { args: ['-W', mode, '-w', 'always', ...quiet], script: `${DOS},5M\n20M,5M\n` },
            { args: ['-N', '1', '-W', mode, ...quiet], script: ',6M\n' },
            { args: ['-a', '-W', mode, ...quiet], script: ',1M\n' },
          ],
        );
      }
    });
  });
});
