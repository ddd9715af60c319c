import { describe, expect, test } from 'vitest';
import { SfdiskPairs } from '../support/sfdisk-runs.ts';
import {
  MIB,
  call,
  only,
  DOS,
  GPT,
  PART,
  DOS_TABLE,
  GPT_TABLE,
  LOOK,
  SCRIPTS,
  BAD_SCRIPTS,
  type SfdiskSession,
} from '../support/sfdisk-sessions.ts';
import { describeWithTools, memoryFolder } from '../support/tools.ts';

const CHANGES: Readonly<Record<string, SfdiskSession>> = {
  'partitions appended': {
    calls: [
      DOS_TABLE,
      { args: ['-a'], script: ',1M\n' },
      { args: ['--append'], script: 'x7: size=1M\n' },
      call('-d'),
    ],
  },
  'partitions appended to a GPT': {
    calls: [GPT_TABLE, { args: ['-a'], script: `size=1M,${PART(5)}\nx9: size=1M,${PART(6)}\n` }, call('-d')],
  },
  'nothing appended': { calls: [DOS_TABLE, { args: ['-a'] }] },
  'one partition of an MBR': {
    calls: [
      DOS_TABLE,
      only(1, 'type=S\n'),
      only(1, ',,L,*\n'),
      only(1, ',,,-\n'),
      only(1, ',+1M\n'),
      only(1, ',-1M\n'),
      only(1, ',+\n'),
      only(1, ',5M\n'),
      only(3, '-100,\n'),
      only(3, '+100,\n'),
      only(3, '+,\n'),
      only(3, '+,+\n'),
      only(5, ',1.5M\n'),
      only(6, ',3M,83\n'),
      only(4, ',1M\n'),
      only(7, ',1M\n'),
      only(2, '+,+\n'),
      call('-d'),
    ],
  },
  'one partition of an MBR in vain': {
    calls: [
      DOS_TABLE,
      only(2, 'type=83\n'),
      only(1, 'type=5\n'),
      only(5, 'type=5\n'),
      only(1, ',500M\n'),
      only(1, '50,\n'),
      only(1, '+,+\n'),
      only(5, '+,\n'),
      only(9, ',\n'),
      only(1, 'foo\n'),
      only(1, 'abort\n'),
      only(1, 'quit\n'),
      only(1, 'print\n'),
      only(1, '\n# nothing\n'),
      only(3, '43008,1\n'),
      only(1, 'type=0\n'),
    ],
  },
  'one partition of a GPT': {
    calls: [
      GPT_TABLE,
      only(1, ',+1M\n'),
      only(1, ',+\n'),
      only(2, 'name=foo\n'),
      only(2, `${PART(7)},type=U,attrs="50 51"\n`),
      only(3, ',+\n'),
      only(3, ',-1M\n'),
      only(1, ',5M\n'),
      only(2, '-1M,\n'),
      only(2, '+,+\n'),
      call('-d'),
      only(2, 'attrs=zz\n'),
      only(2, 'uuid=zz\n'),
      only(2, 'type=zz\n'),
      only(1, '100,1M\n'),
      only(130, ',1M\n'),
      only(5, `size=1M,${PART(8)}\n`),
      { args: ['disk.img', '2'], script: 'name=bar\n' },
    ],
  },
  'a partition of no table': { calls: [only(1, ',1M\n')] },
  'partitions deleted': {
    calls: [
      DOS_TABLE,
      call('--delete', 'disk.img', '5'),
      call('--delete', 'disk.img', '5', '9'),
      call('-d'),
      call('--delete', 'disk.img', '1', '3'),
      call('--delete'),
      call('--delete'),
      call('-d'),
    ],
  },
  'partitions of a GPT deleted': {
    calls: [
      GPT_TABLE,
      call('--delete', 'disk.img', '2'),
      call('--delete', 'disk.img', '2'),
      call('-d'),
      call('--delete'),
      call('-d'),
    ],
  },
  'the order fixed': {
    calls: [
      `${DOS}50000,1M\n2048,1M\n100000,1M\n`,
      call('-r'),
      call('-r'),
      call('-d'),
      `${GPT}start=50000,size=1M,${PART(1)}\nx5: start=2048,size=1M,${PART(2)}\n`,
      call('--reorder'),
      call('-d'),
    ],
  },
  'the active partition': {
    calls: [
      DOS_TABLE,
      call('-A', 'disk.img', '1'),
      call('-A'),
      call('-A', 'disk.img', '2', '5'),
      call('-A', 'disk.img', '-'),
      call('-A', 'disk.img', '9'),
      call('-A', 'disk.img', 'x'),
      call('-d'),
    ],
  },
  'the active partition of a GPT': {
    calls: [GPT_TABLE, call('-A'), call('-A', 'disk.img', '1'), call('-A'), call('-A', 'disk.img', '-')],
  },
  'the identifier': {
    calls: [
      DOS_TABLE,
      call('--disk-id', 'disk.img', '77'),
      call('--disk-id', 'disk.img', '0xffffffff'),
      call('--disk-id', 'disk.img', 'zz'),
      call('--disk-id', 'disk.img', '0x100000000'),
      call('--disk-id', 'disk.img', '1', '2'),
      call('--disk-id'),
    ],
  },
  'the identifier of a GPT': {
    calls: [
      GPT_TABLE,
      call('--disk-id', 'disk.img', '11111111-2222-3333-4444-555555555556'),
      call('--disk-id', 'disk.img', 'zz'),
      call('--disk-id'),
    ],
  },
  'the type': {
    calls: [
      DOS_TABLE,
      call('--part-type', 'disk.img', '1'),
      call('--part-type', 'disk.img', '1', '7'),
      call('--part-type', 'disk.img', '1', 'E'),
      call('--part-type', 'disk.img', '1', 'L'),
      call('--part-type', 'disk.img', '1', 'zz'),
      call('--part-type', 'disk.img', '1', 'linuxswapsolaris'),
      call('--part-type', 'disk.img', '2', '83'),
      call('--part-type', 'disk.img', '2', 'f'),
      call('--part-type', 'disk.img', '4'),
      call('--part-type', 'disk.img', '9'),
      call('--part-type', 'disk.img', 'x'),
      call('--part-type'),
      call('--id', 'disk.img', '1', '83'),
      call('-d'),
    ],
  },
  'fields of a GPT': {
    calls: [
      GPT_TABLE,
      call('--part-type', 'disk.img', '1'),
      call('--part-type', 'disk.img', '1', 'uefi'),
      call('--part-type', 'disk.img', '1', 'U'),
      call('--part-type', 'disk.img', '1', 'zz'),
      call('--part-label', 'disk.img', '2'),
      call('--part-label', 'disk.img', '1'),
      call('--part-label', 'disk.img', '1', 'a name'),
      call('--part-label', 'disk.img', '1', ''),
      call('--part-uuid', 'disk.img', '3'),
      call('--part-uuid', 'disk.img', '3', '77777777-2222-3333-4444-555555555556'),
      call('--part-uuid', 'disk.img', '3', 'zz'),
      call('--part-attrs', 'disk.img', '3'),
      call('--part-attrs', 'disk.img', '1'),
      call('--part-attrs', 'disk.img', '1', 'RequiredPartition,50,51'),
      call('--part-attrs', 'disk.img', '1', 'zz'),
      call('--part-attrs', 'disk.img', '1', ''),
      call('--part-label', 'disk.img', '9'),
      call('--part-label', 'disk.img', '1', 'a', 'b'),
      call('-d'),
    ],
  },
  'fields that an MBR does not have': {
    calls: [
      DOS_TABLE,
      call('--part-label', 'disk.img', '1'),
      call('--part-label', 'disk.img', '1', 'x'),
      call('--part-uuid', 'disk.img', '1'),
      call('--part-uuid', 'disk.img', '1', 'x'),
      call('--part-attrs', 'disk.img', '1'),
      call('--part-attrs', 'disk.img', '3'),
      call('--part-attrs', 'disk.img', '1', '50'),
    ],
  },
  'the second header': {
    calls: [
      GPT_TABLE,
      call('--relocate', 'gpt-bak-mini'),
      call('-d'),
      call('-l'),
      call('-V'),
      call('-F'),
      call('--relocate', 'gpt-bak-std'),
      call('-d'),
      call('--relocate', 'foo'),
      DOS_TABLE,
      call('--relocate', 'gpt-bak-std'),
    ],
  },
  'the MBR beside a GPT': {
    calls: [
      GPT_TABLE,
      call('-Y', 'dos', '-l'),
      call('-Y', 'mbr', '-d'),
      { args: ['-Y', 'dos'] },
      { args: ['-Y', 'dos', '-a'], script: ',1M\n' },
      { args: ['-Y', 'dos', '-N', '1'], script: ',2047\n' },
      { args: ['-Y', 'dos', '-a'], script: ',1M\n' },
      call('-Y', 'dos', '-A', 'disk.img', '2'),
      call('-Y', 'dos', '-l'),
      call('-l'),
    ],
  },
  'saved sectors': {
    calls: [
      DOS_TABLE,
      call('-B'),
      only(1, 'type=S\n', '-b'),
      GPT_TABLE,
      call('-B', '-O', './other'),
      call('-b', '--delete', 'disk.img', '1'),
    ],
  },
  'no table': {
    calls: [
      ...LOOK,
      call('-r'),
      call('--delete'),
      call('--delete', 'disk.img', '1'),
      call('--disk-id', 'disk.img', '1'),
      call('--part-type', 'disk.img', '1'),
      call('--relocate', 'gpt-bak-std'),
      call('-B'),
      { args: ['-a'], script: ',1M\n' },
    ],
  },
  'the columns of a list': {
    calls: [
      GPT_TABLE,
      call('-l', '-o', 'Name,UUID'),
      call('-l', '-o', '+attrs'),
      call('-l', '-o', 'foo'),
      call('-l', '--bytes'),
      DOS_TABLE,
      call('-l', '-o', 'Device,Start-C/H/S,Boot'),
      call('-lV'),
      call('-Vl'),
      call('-lF'),
    ],
  },
  'several disks': {
    calls: [
      DOS_TABLE,
      ...['-l', '-F', '-V', '-g', '-s'].map((option) => call(option, 'disk.img', 'nosuch', 'disk.img')),
      call('-d', 'nosuch'),
      call('-J', '.'),
      call('nosuch'),
    ],
  },
  'the types': { calls: [call('-T'), call('-T', '-X', 'gpt')] },
  'a wrong command line': {
    calls: [
      call('--foo'),
      call('-N', 'x'),
      call('-w', 'foo'),
      call('-W', 'foo'),
      call('--color=foo'),
      call('--lock=foo'),
      call('-u', 'C'),
      call('-s', '-u', 'S'),
      call('--move-data'),
      call('--part-type', 'disk.img', '1', '2', '3'),
    ],
  },
};

describeWithTools(['sfdisk'], 'sfdisk says and writes what util-linux says and writes', () => {
  async function same(session: SfdiskSession): Promise<void> {
    const pairs = new SfdiskPairs(memoryFolder());
    pairs.reset(session.size ?? 100 * MIB, session.prepare);
    for (const each of session.calls) {
      const { ours, reference, difference } = await pairs.call(
        typeof each === 'string' ? { script: each } : each,
      );
      expect(ours).toEqual(reference);
      expect(difference).toBeUndefined();
    }
  }

  describe.concurrent('for the script of', () => {
    test.each(Object.entries(SCRIPTS))('%s', (_, session) => same(session));
  });
  describe.concurrent('for the bad script', () => {
    test.each(Object.entries(BAD_SCRIPTS))('%s', (_, session) => same(session));
  });
  describe.concurrent('for', () => {
    test.each(Object.entries(CHANGES))('%s', (_, session) => same(session));
  });
});
