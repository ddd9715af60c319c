import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { FsError, hasCode } from '../../src/errors.ts';
import { CODE_PAGES } from '../../src/filesystem/fat/code-page.ts';
import { foldName } from '../../src/filesystem/fat/file-name.ts';
import { FatFileSystem } from '../../src/filesystem/fat/file-system.ts';
import { formatFat } from '../../src/filesystem/fat/format.ts';
import { LongNameReader, encodeLongName, shortNameChecksum } from '../../src/filesystem/fat/long-name.ts';
import {
  TailSearches,
  decodeShortName,
  encodeShortName,
  makeAlias,
} from '../../src/filesystem/fat/short-name.ts';

function floppy(): FatFileSystem {
  const device = new MemoryDevice(1440 * 1024);
  formatFat(device, { volumeId: 1 });
  return FatFileSystem.open(device);
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
}

function alias(name: string, taken: readonly string[] = []): string {
  return makeAlias(name, CODE_PAGES[437], (candidate) => taken.includes(candidate), new TailSearches());
}

function errorOf(change: () => void): FsError {
  try {
    change();
  } catch (error) {
    if (error instanceof FsError) return error;
    throw error;
  }
  throw new Error('Nothing was thrown');
}

describe('A long name', () => {
  // The example of the Microsoft FAT specification 1.03, section 7.1: "The quick brown.fox" with alias THEQUI~1.FOX.
  const SLOTS = bytesOf(`
    42 77006e002e0066006f00 0f 00 07 7800 0000 ffff ffff ffff ffff 0000 ffff ffff
    01 5400680065002000 7100 0f 00 07 7500 6900 6300 6b00 2000 6200 0000 7200 6f00`);
  const SHORT = bytesOf('54484551 55497e31 464f58');

  it('is written in the slots that the specification shows', () => {
    const into = new Uint8Array(64);
    encodeLongName('The quick brown.fox', 0x07, new DataView(into.buffer), 0);
    expect(Buffer.from(into).toString('hex')).toBe(Buffer.from(SLOTS).toString('hex'));
  });

  it('carries the checksum of its short name', () => {
    expect(shortNameChecksum(new DataView(SHORT.buffer), 0)).toBe(0x07);
  });

  it('is read back from its slots', () => {
    const reader = new LongNameReader();
    const view = new DataView(SLOTS.buffer);
    reader.add(view, 0);
    reader.add(view, 32);
    expect(reader.take(new DataView(SHORT.buffer), 0)).toBe('The quick brown.fox');
  });

  it('is not taken for another short entry', () => {
    const reader = new LongNameReader();
    reader.add(new DataView(SLOTS.buffer), 0);
    reader.add(new DataView(SLOTS.buffer), 32);
    expect(reader.take(new DataView(bytesOf('4f544845 52202020 545854').buffer), 0)).toBeUndefined();
  });

  it('is not taken when its first piece is missing', () => {
    const reader = new LongNameReader();
    reader.add(new DataView(SLOTS.buffer), 0);
    expect(reader.take(new DataView(SHORT.buffer), 0)).toBeUndefined();
  });

  it('of 13 units has neither end mark nor padding', () => {
    const into = new Uint8Array(32);
    encodeLongName('thirteen unit', 0, new DataView(into.buffer), 0);
    expect(into[0]).toBe(0x41);
    expect([...into.subarray(28)]).toEqual([0x69, 0, 0x74, 0]);
  });

  it('keeps characters beyond 16 bits', () => {
    const fs = floppy();
    fs.create(fs.root, 'a 😀 name', { kind: 'file' });
    fs.close();
    const again = FatFileSystem.open(fs.device);
    expect([...again.entries(again.root)].map(({ name }) => name)).toEqual(['a 😀 name']);
  });

  it('may have 255 units and no more', () => {
    const fs = floppy();
    fs.create(fs.root, 'x'.repeat(255), { kind: 'file' });
    expect(fs.lookup(fs.root, 'X'.repeat(255))).toBeDefined();
    expect(errorOf(() => fs.create(fs.root, 'x'.repeat(256), { kind: 'file' })).code).toBe('ENAMETOOLONG');
  });
});

describe('An alias', () => {
  // What Windows 95 and later make of these names: Microsoft FAT specification 1.03, section 7.3.
  it.each([
    ['The quick brown.fox', 'THEQUI~1.FOX'],
    ['text.txt', 'TEXT.TXT'],
    ['TextFile.Mine.txt', 'TEXTFI~1.TXT'],
    ['ver +1.2.text', 'VER_12~1.TEX'],
    ['.bashrc.swp', 'BASHRC~1.SWP'],
    ['.profile', 'PROFIL~1'],
    ['a b', 'AB~1'],
    ['archive.tar.gz', 'ARCHIV~1.GZ'],
    ['x.y', 'X.Y'],
    ['12345678.123', '12345678.123'],
    ['123456789.123', '123456~1.123'],
    ['name.html', 'NAME~1.HTM'],
    ['名前.文書', '__~1.__'],
  ])('of %j is %s', (name, expected) => {
    expect(alias(name)).toBe(expected);
  });

  it('counts on while a name is taken, and the base gives way', () => {
    expect(alias('longer name.txt', ['LONGER~1.TXT'])).toBe('LONGER~2.TXT');
    const nine = Array.from({ length: 9 }, (_, i) => `LONGER~${i + 1}.TXT`);
    expect(alias('longer name.txt', nine)).toBe('LONGE~10.TXT');
  });

  it('finds the file, too', () => {
    const fs = floppy();
    const file = fs.create(fs.root, 'The quick brown.fox', { kind: 'file' });
    expect(fs.lookup(fs.root, 'thequi~1.FOX')).toBe(file);
    expect(errorOf(() => fs.create(fs.root, 'THEQUI~1.fox', { kind: 'file' })).code).toBe('EEXIST');
    expect([...fs.entries(fs.root)]).toEqual([
      { name: 'The quick brown.fox', node: file, kind: 'file', shortName: 'THEQUI~1.FOX' },
    ]);
  });

  it('gives way to a file that has its name', () => {
    const fs = floppy();
    fs.create(fs.root, 'LONGNA~1.TXT', { kind: 'file' });
    fs.create(fs.root, 'long name.txt', { kind: 'file' });
    expect([...fs.entries(fs.root)].map(({ shortName }) => shortName)).toEqual([undefined, 'LONGNA~2.TXT']);
  });

  it('is not needed for a name in upper case that fits', () => {
    const fs = floppy();
    fs.create(fs.root, 'KERNEL.SYS', { kind: 'file' });
    fs.close();
    const root = new Uint8Array(64);
    fs.device.read(19 * 512, root);
    expect(Buffer.from(root.subarray(0, 11)).toString('latin1')).toBe('KERNEL  SYS');
    expect(root[32]).toBe(0);
  });

  it('is used again when its file is gone', () => {
    const fs = floppy();
    for (const name of ['long name one', 'long name two', 'long name three']) {
      fs.create(fs.root, name, { kind: 'file' });
    }
    fs.unlink(fs.root, 'long name two');
    fs.create(fs.root, 'long name four', { kind: 'file' });
    fs.create(fs.root, 'long name five', { kind: 'file' });
    expect([...fs.entries(fs.root)].map(({ shortName }) => `${shortName}`).sort()).toEqual([
      'LONGNA~1',
      'LONGNA~2',
      'LONGNA~3',
      'LONGNA~4',
    ]);
  });

  it('of ten thousand names in one directory is each time another', () => {
    const device = new MemoryDevice(32 << 20);
    formatFat(device, { volumeId: 1, fatBits: 16 });
    const fs = FatFileSystem.open(device);
    const folder = fs.create(fs.root, 'folder', { kind: 'directory' });
    for (let i = 0; i < 10_000; i++) fs.create(folder, `same beginning ${i}`, { kind: 'file' });
    const aliases = new Set([...fs.entries(folder)].map(({ shortName }) => shortName));
    expect(aliases.size).toBe(10_000);
  });
});

describe('A short name', () => {
  it('that begins with the byte of deleted entries is written with 05', () => {
    const into = new Uint8Array(11);
    encodeShortName('σ.TXT', CODE_PAGES[437], into);
    expect(into[0]).toBe(0x05);
    expect(decodeShortName(into, CODE_PAGES[437])).toBe('σ.TXT');
  });

  it('is shown in lower case where Windows NT says so', () => {
    const raw = new Uint8Array(Buffer.from('README  TXT'));
    expect(decodeShortName(raw, CODE_PAGES[437], 0x08)).toBe('readme.TXT');
    expect(decodeShortName(raw, CODE_PAGES[437], 0x10)).toBe('README.txt');
    expect(decodeShortName(raw, CODE_PAGES[437], 0x18)).toBe('readme.txt');
  });

  it.each([
    [437, 0x80, 'Ç'],
    [437, 0x9b, '¢'],
    [437, 0xe1, 'ß'],
    [437, 0xfe, '■'],
    [850, 0x80, 'Ç'],
    [850, 0x9b, 'ø'],
    [850, 0xb7, 'À'],
    [850, 0xd5, 'ı'],
    [850, 0xf3, '¾'],
    [850, 0xfe, '■'],
  ] as const)('in code page %d: byte 0x%x is %s', (number, byte, character) => {
    expect(CODE_PAGES[number].decode(byte)).toBe(character);
    expect(CODE_PAGES[number].encode(character)).toBe(byte);
  });
});

describe('A name', () => {
  it.each(['a*b', 'a?b', 'a<b', 'a>b', 'a|b', 'a"b', 'a:b', 'a\\b', 'a/b', 'a\u0001b', 'a\u001fb'])(
    'like %j is refused',
    (name) => {
      const fs = floppy();
      expect(errorOf(() => fs.create(fs.root, name, { kind: 'file' })).code).toBe('EINVAL');
      fs.create(fs.root, 'good', { kind: 'file' });
      expect(errorOf(() => fs.rename(fs.root, 'good', fs.root, name)).code).toBe('EINVAL');
      expect([...fs.entries(fs.root)].map((entry) => entry.name)).toEqual(['good']);
    },
  );

  it.each(['', '.', '..', 'dot.', 'dots...', 'space ', ' ', '. .', '\ud800', 'x\udc80'])(
    'like %j is refused as well',
    (name) => {
      const fs = floppy();
      expect(errorOf(() => fs.create(fs.root, name, { kind: 'directory' })).code).toBe('EINVAL');
    },
  );

  it('says what is wrong with it', () => {
    const fs = floppy();
    const error = errorOf(() => fs.create(fs.root, 'what?', { kind: 'file' }));
    expect(error.message).toBe("EINVAL: FAT allows no ? in a name, open 'what?'");
  });

  it('keeps its case and is found in any other', () => {
    const fs = floppy();
    const file = fs.create(fs.root, 'Straße ÄÖÜ Я.Txt', { kind: 'file' });
    expect(fs.lookup(fs.root, 'STRAßE äöü я.tXT')).toBe(file);
    expect(
      hasCode(
        errorOf(() => fs.create(fs.root, 'straße äöü я.txt', { kind: 'file' })),
        'EEXIST',
      ),
    ).toBe(true);
    expect([...fs.entries(fs.root)][0]!.name).toBe('Straße ÄÖÜ Я.Txt');
  });

  it('does not become ASCII or longer when it is folded', () => {
    expect(foldName('ı ſ ß ŉ')).toBe('ı ſ ß ŉ');
    expect(foldName('abc é я')).toBe('ABC É Я');
  });
});
