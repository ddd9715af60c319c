import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';
import { type ImageKind, checksum, makeImage, must } from '../support/verb-images.ts';

const MUTATIONS = 60;

/** xorshift32: the same images on every run. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** Where the structures are: the head of the volume, and the first bytes of what has been used. */
async function baseImage(kind: ImageKind): Promise<string> {
  const image = await makeImage(kind, kind === 'ext2' ? '1M' : kind === 'fat16' ? '9M' : '360K');
  for (const name of ['a', 'b', 'c']) {
    await must(['mkdir', `${image}:/${name}`]);
    await must(['cp', '-', `${image}:/${name}/a file with a long name`], { stdin: name.repeat(3000) });
  }
  return image;
}

describe.each(['ext2', 'fat12', 'fat16'] as const)('verbs on damaged %s images', (kind) => {
  it('end with a message, write nothing, and stay below their target', async () => {
    const base = await baseImage(kind);
    const content = fs.readFileSync(base);
    const random = generator(0x5eed);
    const folder = temporaryFolder();
    const image = path.join(folder, 'damaged.img');
    // Only bytes that something is in matter: changes elsewhere change nothing.
    const used: number[] = [];
    for (let at = 0; at < content.length; at++) if (content[at] !== 0) used.push(at);
    for (let round = 0; round < MUTATIONS; round++) {
      const damaged = Buffer.from(content);
      for (let change = random(8); change >= 0; change--) {
        const at = random(3) === 0 ? random(Math.min(content.length, 8192)) : used[random(used.length)]!;
        damaged[at] = [0, 0xff, random(256), damaged[at]! ^ (1 << random(8))][random(4)]!;
      }
      fs.writeFileSync(image, damaged);
      const before = checksum(image);
      const target = path.join(folder, 'target');
      fs.rmSync(target, { recursive: true, force: true });
      for (const argv of [
        ['inspect', image],
        ['ls', '-laR', image],
        ['df', image],
        ['cp', '-r', `${image}:/.`, target],
      ]) {
        const result = await userloop(argv);
        expect([0, 1]).toContain(result.status);
        expect(result.stderr === '').toBe(result.status === 0);
        for (const line of result.stderr.split('\n').slice(0, -1)) expect(line).toMatch(/^userloop [a-z]+: /);
      }
      expect(checksum(image)).toBe(before);
      expect(fs.readdirSync(folder).filter((name) => name !== 'target')).toEqual(['damaged.img']);
    }
  });
});
