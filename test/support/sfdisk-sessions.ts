import type { SfdiskCall } from './sfdisk-runs.ts';

export const MIB = 2 ** 20;
export const TIB = 2 ** 40;

/** Calls on one image. */
export interface SfdiskSession {
  /** Bytes; 100 MiB where it is not said. */
  readonly size?: number;
  readonly prepare?: (image: string) => void;
  /** A script alone, or calls one after the other. */
  readonly calls: readonly (string | SfdiskCall)[];
}

export const call = (...args: string[]): SfdiskCall => ({ args });
export const only = (number: number, script: string, ...args: string[]): SfdiskCall => ({
  args: ['-N', String(number), ...args],
  script,
});

export const DOS = 'label: dos\nlabel-id: 0x12345678\n';
export const GPT = 'label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n';
export const PART = (digit: number): string => `uuid=${`${digit}`.repeat(8)}-2222-3333-4444-555555555555`;
/** Two primary ones, an extended one with two logical ones, and space between. */
export const DOS_TABLE = `${DOS}2048,10M\n40960,20M,E\n43008,1M\n50000,2M,S\n100000,1000,c,*\n`;
export const GPT_TABLE = `${GPT}start=2048,size=10M,${PART(1)}\nstart=40960,size=10M,type=S,${PART(2)},name="one two"\nstart=63000,size=1M,${PART(3)},attrs="RequiredPartition 50"\n`;
export const LOOK = [
  call('-d'),
  call('-J'),
  call('-l'),
  call('-F'),
  call('-V'),
  call('-g'),
  call('-s'),
  call('--disk-id'),
  call('-A'),
];

export const SCRIPTS: Readonly<Record<string, SfdiskSession>> = {
  'two partitions': { calls: [',10M\n,20M,S\n', ...LOOK] },
  'nothing at all': { calls: ['', call('-l'), call('-d')] },
  'an extended partition and logical ones': {
    calls: [`${DOS},10M,L,*\n,20M,Ex\n,5M\n,5M\n,5M,S\n,\n`, ...LOOK],
  },
  'logical partitions up to the end': { calls: [`${DOS},,E\n,5M\n,5M\n,5M\n,5M\n,\n`, ...LOOK] },
  'the named form': {
    calls: [
      'start=2048, size=10M, type=83, bootable\nsize=20MiB,type=swap\n start=+ , size=+ \n',
      call('-d'),
    ],
  },
  'a dump given back': {
    calls: [
      DOS_TABLE,
      call('-d'),
      'label: dos\n,1M\n',
      {
        script:
          '# nothing\n\nlabel: dos\nlabel-id: 0x12345678\ndevice: disk.img\nunit: sectors\nsector-size: 512\n\ndisk.img1 : start=        2048, size=       20480, type=83\ndisk.img2 : start=       40960, size=       40960, type=5\ndisk.img3 : start=      100000, size=        1000, type=c, bootable\ndisk.img5 : start=       43008, size=        2048, type=83\ndisk.img6 : start=       50000, size=        3248, type=82\n',
      },
      call('-d'),
    ],
  },
  'separators and defaults': { calls: [`${DOS}2048 10M 82\n;5M;;*\n- - - -\n`, call('-d')] },
  'sizes in every unit': { calls: [`${DOS},5MB\n,5MiB\n,2.5M\n,1.7M\n`, call('-d')] },
  'numbers in every base': { calls: [`${DOS}0x800,010000\n8192,0x1000\n`, call('-d')] },
  'tiny partitions': { calls: [`${DOS},1\n,1K\n,513K\n,1025\n`, call('-d'), call('-F')] },
  'primaries before the first aligned sector': { calls: [`${DOS}1,5\n63,100\n2000,\n`, call('-d')] },
  'partitions by number': {
    calls: [`${DOS}x3: size=1M\nx1: size=2M\nx4: size=4M,type=E\nx5: size=1M\n`, call('-d')],
  },
  'types in every form': {
    calls: [`${DOS},1M,"Linux swap / Solaris"\n,1M,0E\n,1M,linuxex\n,1M,zz\n`, call('-d')],
  },
  'a size for which only the second gap has room': {
    calls: [`${DOS}2048,2048\n6144,2048\n,3M\n,1M\n`, call('-d')],
  },
  'logical partitions at chosen sectors': {
    calls: [`${DOS}2048,100000,E\n10000,5\n20000,5\n10010,10\n3000,500\nx5: size=2M\n`, call('-d')],
  },
  'logical partitions right behind their boot records': {
    calls: [`${DOS}2048,100000,E\n2049,500\n2560,5\n5000,500\n2600,5\nx5: size=8K\n`, call('-d')],
  },
  'logical partitions in a container that is smaller than the usual gap': {
    calls: [
      `${DOS}2048,1400,E\n2100,50\n,20\n2049,5\n`,
      call('-d'),
      `${DOS}2048,1400,E\n3447,\n,\n`,
      call('-d'),
      `${DOS}2048,1400,E\n2048,5\n`,
      `${DOS}2048,1400,E\n3448,1\n`,
    ],
  },
  'partitions behind one that begins before the usual place': {
    calls: [
      `${DOS},1M\n2027,1\n921600,-,85\n1M,-,uefi\n`,
      `${DOS}grain: 3M\n,2M\n543,1K\n,,E\n,1K\n`,
      call('-d'),
    ],
  },
  'a GPT': { calls: ['label: gpt\n,10M,U\n,20M,S\n,\n', ...LOOK] },
  'an empty GPT': { calls: [GPT, ...LOOK] },
  'every header of a GPT': {
    calls: [
      `${GPT}first-lba: 40\nlast-lba: 190000\ntable-length: 16\nunit: sectors\ndevice: /dev/foo\nsector-size: 512\nbogus: 3\n,1M\n`,
      ...LOOK,
    ],
  },
  'a long table of a GPT': { calls: [`${GPT}table-length: 256\n,1M\n`, call('-d'), call('-J')] },
  'every field of a GPT': { calls: [GPT_TABLE, ...LOOK] },
  'names in other scripts': {
    calls: [
      `${GPT}size=5,name="a\\x22b\\\\tc/\u00e9\u6f22\u5b57",${PART(1)}\nsize=5,name=plain,${PART(2)}\n`,
      call('-d'),
      call('-J'),
      call('-l', '-o', 'Device,Name,UUID'),
    ],
  },
  'types of a GPT': {
    calls: [
      `${GPT},1M,"Linux /usr (x86)"\n,1M,home\n,1M,R\ntype=0fc63daf-8483-4772-8e79-3d69d8477de4,size=1M\n`,
      call('-d'),
    ],
  },
  'gaps of a GPT': { calls: [`${GPT}2048,2048\n6144,2048\n,3M\n,1M\n,500M\n`, call('-d'), call('-F')] },
  'a grain of 4 KiB': { calls: [`${DOS}grain: 4K\n,10M\n,3K\n,5K\n`, call('-d')] },
  'a grain of 4 KiB in a GPT': { calls: [`${GPT}grain: 4K\n,10M\n,3K\n,5K\n`, call('-d')] },
  'a script of larger sectors': { calls: [`${DOS}sector-size: 4096\n1024,2560\n,2M\n`, call('-d')] },
  'printing, help and quitting': { calls: ['help\n,10M\nprint\nquit\n'] },
  'writing early': { calls: [',10M\nwrite\n,10M\n'] },
  'giving up': { calls: [',10M\nabort\n'] },
  'carriage returns': { calls: ['label: gpt\r\n,10M\r\n'] },
  'four primaries end the script': { calls: [`${DOS},1M\n,1M\n,1M\n,1M\n,1M\n`] },
  'a floppy': { size: 1440 * 1024, calls: [`${DOS},\n`, ...LOOK] },
  '1 MiB': { size: MIB, calls: [`${GPT},\n`, ...LOOK] },
  '5 MiB': { size: 5 * MIB, calls: [`${DOS},1M\n,2M,E\n,\n,\n`, ...LOOK] },
  '2 TiB and more in an MBR': { size: 3 * TIB, calls: [`${DOS},20G\n,1T\n,\n`, ...LOOK] },
  '16 TiB': { size: 16 * TIB - MIB, calls: [`${GPT},10T\n,\n`, ...LOOK] },
  quietly: { calls: [{ args: ['-q'], script: `${GPT},10M\n` }, { args: ['-q', '-l'] }] },
  'without writing': { calls: [{ args: ['-n'], script: `${GPT},10M\n` }, call('-l')] },
  'without looking who uses it': { calls: [{ args: ['--no-reread', '--no-tell-kernel'], script: ',10M\n' }] },
  'with a label from the command line': {
    calls: [
      { args: ['-X', 'gpt'], script: ',10M\n' },
      { args: ['--label', 'dos'], script: ',\n' },
    ],
  },
  'in place of another kind of table': { calls: [GPT_TABLE, `${DOS},1M\n`, `${GPT},1M,,\n`] },
};

export const BAD_SCRIPTS: Readonly<Record<string, SfdiskSession>> = Object.fromEntries(
  [
    'foo\n',
    ',10M\n1,200G\n',
    'label: foo\n,1M\n',
    'unit: foo\n,1M\n',
    'label:\n,1M\n',
    'label-id: zz\n,1M\n',
    'grain: 100\n,1M\n',
    'table-length: 4\n,1M\n',
    'label: gpt\ntable-length: 100000000\n,1M\n',
    'label: gpt\nfirst-lba: 1\n,1M\n',
    'label: gpt\nlast-lba: 900000\n',
    'sector-size: 100\n,1M\n',
    ',1M\nlabel: gpt\n',
    '2048,10Q\n',
    'size=abc\n',
    'size=10M,foo=1\n',
    'start = 4096\n',
    ',1.5\n',
    ',16E\n',
    ',--1M\n',
    '"20"48,1\n',
    '"2048,1\n',
    'bootable\n',
    'size=5,,bootable\n',
    'size=5,uuid=\n',
    '2048,5,82,x\n',
    '0,1000\n',
    '300000,1\n',
    '204799,5\n',
    '2048,2048\n3000,10\n',
    '2048,2048\n6144,2048\n6144,3000\n',
    '2048,2048\n6144,2048\n6144,1\n',
    '2048,2048\n6144,2048\n6144,\n',
    'x5: size=1M\n',
    'x9: size=1M,type=E\n',
    ',1M,E\n,1M,E\n',
    'x1: size=1M\nx1: size=1M\n',
    '2048,20000\n,\n,100\n',
    '2048,100000,E\nx5: start=102048,size=5\n',
    'label: gpt\nx200: size=1M\n',
    'label: gpt\nsize=0\n',
    'label: gpt\nuuid=zz\n',
    'label: gpt\nattrs=zz\n',
    'label: gpt\n,1M,zz\n',
    'label: gpt\n2048,2048\n2047,1\n',
    'label: gpt\n2048,2048\n3000,1\n',
    'label: gpt\n,\n,1\n',
  ].map((script) => [JSON.stringify(script), { calls: [script, call('-d')] }]),
);
