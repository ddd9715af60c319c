import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatReference, parseImageReference, parsePlace } from '../../src/cli/image-reference.ts';
import { processIo } from '../../src/cli/io.ts';
import { temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const io = { ...processIo(), cwd: folder };
for (const name of ['disk.img', 'odd:name', 'a@b.img', 'plain:1', 'x', 'x:y'])
  fs.writeFileSync(path.join(folder, name), '');
fs.mkdirSync(path.join(folder, 'directory'));

describe('a place in an image', () => {
  it.each([
    ['disk.img', { image: 'disk.img' }],
    ['disk.img:/', { image: 'disk.img', path: '/' }],
    ['disk.img:/boot/grub', { image: 'disk.img', path: '/boot/grub' }],
    ['disk.img:3', { image: 'disk.img', partition: 3 }],
    ['disk.img:12:/a:b', { image: 'disk.img', partition: 12, path: '/a:b' }],
    ['disk.img@32256:/x', { image: 'disk.img', offset: 32256, path: '/x' }],
    ['disk.img@1M', { image: 'disk.img', offset: 1048576 }],
    ['disk.img@63s:/', { image: 'disk.img', offset: 32256, path: '/' }],
    ['disk.img@0x7e00:/', { image: 'disk.img', offset: 32256, path: '/' }],
    ['odd:name:/x', { image: 'odd:name', path: '/x' }],
    ['a@b.img:2:/x', { image: 'a@b.img', partition: 2, path: '/x' }],
    ['plain:1', { image: 'plain:1' }],
    ['plain:1:1', { image: 'plain:1', partition: 1 }],
    ['missing.img:2:/x', { image: 'missing.img', partition: 2, path: '/x' }],
    ['disk.img:/with space/ü:/', { image: 'disk.img', path: '/with space/ü:/' }],
    ['/dev/loop0:/x', { image: '/dev/loop0', path: '/x' }],
    ['missing', { image: 'missing' }],
  ])('%s', (text, expected) => {
    const reference = parseImageReference(io, text);
    expect(reference).toEqual({ partition: undefined, offset: undefined, path: undefined, ...expected });
  });

  it('is written as it was typed', () => {
    for (const text of ['disk.img', 'disk.img:/x', 'disk.img:3', 'disk.img:3:/x', 'disk.img@32256:/x']) {
      expect(formatReference(parseImageReference(io, text))).toBe(text);
    }
  });
});

describe('an operand of cp', () => {
  it.each([
    './x:y',
    'x:y',
    'disk.img',
    'plain:1',
    'nothing',
    'no:thing',
    'new:1',
    '/etc/passwd',
    'directory:1',
  ])('%s is a path of the host', (text) => {
    expect(parsePlace(io, text)).toEqual({ kind: 'host', path: text });
  });

  it.each(['disk.img:/', 'disk.img:1', 'disk.img@63s', 'missing:/x', './disk.img:/x', 'x:/y'])(
    '%s is a place in an image',
    (text) => {
      expect(parsePlace(io, text).kind).toBe('image');
    },
  );

  it('takes the shortest image that is there', () => {
    expect(parsePlace(io, 'x:/y:/z')).toMatchObject({ reference: { image: 'x', path: '/y:/z' } });
  });
});
