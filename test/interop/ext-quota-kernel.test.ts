import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FsError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { Random } from '../support/random.ts';
import { DISK_MODULES, findGuest, runInGuest } from '../support/linux-guest.ts';
import { findTool, memoryFolder, runTool } from '../support/tools.ts';

/**
 * Volumes with quotas that Linux and we write in turn, and the same operations under limits by both. The kernel is Debian's in an emulator: that of this machine may be
 * built without this format of quotas. `USERLOOP_SEED` has us do other things.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 4700);
const tools = ['qemu-system-x86_64', 'busybox', 'cpio', 'mke2fs', 'e2fsck', 'debugfs'];
const programs = ['repquota', 'setquota', 'chattr', 'setpriv'];
const guest = findGuest();
const absent = [...tools, ...programs].filter((tool) => findTool(tool) === undefined);
if (guest === undefined || !fs.existsSync(path.join(guest.modules, 'fs/quota')))
  absent.push('a Linux kernel with its modules');
if (absent.length > 0 && process.env['CI'] === 'true')
  throw new Error(`Under CI these must be there: ${absent.join(', ')}`);

const TYPES = 'quotatype=usrquota:grpquota:prjquota';
const KINDS = ['user', 'group', 'project'] as const;
const USER = 1000;
const PROJECT_USER = 2000;
const GRACE = 600;

/** What is done under limits; bytes are written 1 KiB at a time until that fails, nodes are made one after the other. */
type Step =
  | { readonly kind: 'write'; readonly user: number; readonly path: string; readonly kib: number }
  | { readonly kind: 'make'; readonly user: number; readonly path: string; readonly count: number }
  | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
  | { readonly kind: 'sleep'; readonly seconds: number }
  | { readonly kind: 'statfs'; readonly path: string };

/** Of USER: at most 200 KiB and 100 for long, 12 nodes and 8 for long. Of project 77: at most 100 KiB, 20 nodes. */
const STEPS: readonly Step[] = [
  { kind: 'write', user: USER, path: 'd/a', kib: 90 },
  { kind: 'write', user: USER, path: 'd/b', kib: 200 },
  { kind: 'write', user: USER, path: 'd/a', kib: 1 },
  { kind: 'write', user: 0, path: 'd/a', kib: 40 },
  { kind: 'truncate', path: 'd/a', size: 70_000 },
  { kind: 'write', user: USER, path: 'd/b', kib: 8 },
  { kind: 'sleep', seconds: GRACE + 60 },
  { kind: 'write', user: USER, path: 'd/b', kib: 8 },
  { kind: 'write', user: 0, path: 'd/b', kib: 8 },
  { kind: 'truncate', path: 'd/b', size: 0 },
  { kind: 'write', user: USER, path: 'd/b', kib: 50 },
  { kind: 'make', user: USER, path: 'd/n', count: 15 },
  { kind: 'sleep', seconds: GRACE + 60 },
  { kind: 'make', user: USER, path: 'd/m', count: 2 },
  { kind: 'make', user: 0, path: 'd/r', count: 2 },
  { kind: 'statfs', path: 'p' },
  { kind: 'write', user: PROJECT_USER, path: 'p/a', kib: 60 },
  { kind: 'statfs', path: 'p' },
  { kind: 'write', user: 3000, path: 'p/b', kib: 90 },
  { kind: 'make', user: PROJECT_USER, path: 'p/n', count: 30 },
  { kind: 'write', user: 0, path: 'p/a', kib: 100 },
  { kind: 'statfs', path: 'p' },
];

/** `act COUNT OWNERS` makes, changes and removes files of many owners in the directory `$D`. */
const ACT = `
act() {
  mkdir -p $D; i=1
  while [ $i -le 70 ]; do
    d=$D/d$((i % 5)); [ -d $d ] || { mkdir $d; chown $((i * 65521)):$i $d; }
    [ $((i % 5)) = 3 ] && chattr -p $((i * 100)) +P $d
    head -c $((i * 777)) /dev/zero > $d/f$i; chown $((i * 977)):$((i % 7 * 70000)) $d/f$i
    [ $((i % 3)) = 0 ] && ln -s $(printf "%0$((i * 3))d" 1) $d/l$i && chown -h $i:$i $d/l$i
    [ $((i % 4)) = 0 ] && rm $d/f$i
    [ $((i % 6)) = 1 ] && truncate -s 100 $d/f$i
    [ $((i % 6)) = 2 ] && [ -e $d/f$i ] && { chown $((i + 5)) $d/f$i; dd if=/dev/zero of=$d/f$i bs=1k seek=3000 count=3 conv=notrunc 2>/dev/null; }
    i=$((i + 1))
  done
}`;

function shellOf(step: Step): string {
  switch (step.kind) {
    case 'write': {
      const write = `i=0; while [ $i -lt ${step.kib} ]; do head -c 1k /dev/zero || exit 1; i=$((i + 1)); done >> /mnt/${step.path}`;
      return `${asUser(step.user, write)} 2>/dev/null; stat -c %s /mnt/${step.path}`;
    }
    case 'make': {
      const make = `i=0; while [ $i -lt ${step.count} ] && mkdir /mnt/${step.path}$i; do i=$((i + 1)); done; echo $i`;
      return `${asUser(step.user, make)} 2>/dev/null`;
    }
    case 'truncate':
      return `truncate -s ${step.size} /mnt/${step.path}; echo done`;
    case 'sleep':
      return `date -s @$(($(date +%s) + ${step.seconds})) >/dev/null; echo slept`;
    case 'statfs':
      return `sync; stat -f -c '%b %f %a %c %d' /mnt/${step.path}`;
  }
}

function asUser(user: number, command: string): string {
  if (user === 0) return `sh -c '${command}'`;
  // By its path: busybox has one of its own, which cannot do this.
  return `/bin/setpriv --reuid ${user} --regid ${user} --clear-groups sh -c '${command}'`;
}

describe.skipIf(absent.length > 0)('Quotas, by Linux and by us', () => {
  const folder = memoryFolder();
  const images = ['kernel', 'ours', 'limits', 'same'].map((name) => path.join(folder, `${name}.img`));
  const [byKernel, byUs, limited, same] = images as [string, string, string, string];
  let told: string[] = [];
  let listed: Record<(typeof KINDS)[number], string>;

  beforeAll(() => {
    make(byKernel, ['-b', '1024']);
    make(byUs, ['-b', '4096']);
    make(limited, ['-b', '1024']);
    fs.copyFileSync(limited, same);
    withVolume(byUs, (volume) => actAtRandom(volume, new Random(SEED)));
    expectClean(byUs);
    listed = listOf(byUs);
    const limits = `setquota -u ${USER} 100 200 8 12 /mnt; setquota -t -u ${GRACE} ${GRACE} /mnt; setquota -P 77 0 100 0 20 /mnt
mkdir /mnt/d /mnt/p; chmod 777 /mnt/d /mnt/p; chattr -p 77 +P /mnt/p`;
    const mount = (device: string): string =>
      `mount -t ext4 -o usrquota,grpquota,prjquota /dev/${device} /mnt`;
    const report = KINDS.map((kind) => `repquota -${kind === 'project' ? 'P' : kind[0]} -n -O csv /mnt`);
    const output = runInGuest(guest!, {
      modules: [...DISK_MODULES, 'quota_v2'],
      programs,
      drives: images.map((image) => ({ image })),
      script: [
        `mkdir -p /etc; ln -s /proc/mounts /etc/mtab${ACT}`,
        `${mount('vda')}; D=/mnt/made; act; umount /mnt; ${mount('vda')}`,
        ...report.map((line) => `echo ---; ${line}`),
        `umount /mnt; echo ---; ${mount('vdb')}`,
        `${report.join('; echo ---; ')}; echo ---`,
        'D=/mnt/made; act; rm -rf /mnt/n1*; umount /mnt',
        `${mount('vdc')}; ${limits}; umount /mnt; ${mount('vdd')}; ${limits}; umount /mnt; ${mount('vdc')}`,
        'echo ---',
        ...STEPS.map(shellOf),
        'umount /mnt',
      ].join('\n'),
    });
    told = output.split('---\n');
  }, 480_000);

  it('counts on where the kernel has stopped', () => {
    expectClean(byKernel);
    for (const [index, kind] of KINDS.entries())
      expect(usesOf(told[index + 1]!), kind).toEqual(usesOfList(listOf(byKernel)[kind]));
    expect(usesOf(told[1]!).length).toBeGreaterThan(40);
    withVolume(byKernel, (volume) => {
      removeTree(volume, volume.root, 'made', (name) => !name.endsWith('7'));
      actAtRandom(volume, new Random(SEED + 1));
    });
    expectClean(byKernel);
    withVolume(byKernel, (volume) => removeTree(volume, volume.root, 'made', () => true));
    expectClean(byKernel);
  });

  it('leaves what the kernel counts on with', () => {
    for (const [index, kind] of KINDS.entries())
      expect(usesOf(told[index + 4]!), kind).toEqual(usesOfList(listed[kind]));
    expect(usesOfList(listed.user).length).toBeGreaterThan(20);
    expectClean(byUs);
    withVolume(byUs, (volume) => actAtRandom(volume, new Random(SEED + 2)));
    expectClean(byUs);
  });

  it('holds the limits that the kernel holds', () => {
    expectClean(limited);
    const results: string[] = [];
    let seconds = 1_700_000_000;
    const clock = (): { seconds: number; nanoseconds: number } => ({ seconds, nanoseconds: 0 });
    withVolume(
      same,
      (volume) => {
        for (const step of STEPS) {
          if (step.kind === 'sleep') seconds += step.seconds;
          results.push(doStep(volume, step));
        }
      },
      clock,
    );
    expect(results.map((line, i) => `${JSON.stringify(STEPS[i])}: ${line}`)).toEqual(
      told
        .at(-1)!
        .trim()
        .split('\n')
        .map((line, i) => `${JSON.stringify(STEPS[i])}: ${line}`),
    );
    expectClean(same);
    for (const kind of KINDS) expect(listOf(same)[kind], kind).toBe(listOf(limited)[kind]);
  });
});

function make(image: string, args: readonly string[]): void {
  const made = runTool('mke2fs', [
    '-q',
    '-F',
    '-t',
    'ext4',
    ...args,
    '-O',
    'quota,project',
    '-E',
    TYPES,
    image,
    '32M',
  ]);
  expect(made.status, made.stderr).toBe(0);
}

function withVolume(image: string, act: (volume: FileSystem) => void, clock = steppingClock()): void {
  const device = FileDevice.open(image);
  const volume = extDriver.open(device, { clock, quotaLimits: KINDS });
  expect(volume.readOnlyReason).toBeUndefined();
  act(volume);
  volume.close();
  device.close();
}

function doStep(volume: FileSystem, step: Step): string {
  switch (step.kind) {
    case 'write': {
      const [directory, name] = placeOf(volume, step.path);
      volume.actAs!(step.user);
      const owner = { uid: step.user, gid: step.user };
      const file =
        volume.lookup(directory, name) ?? volume.create(directory, name, { kind: 'file', ...owner });
      try {
        for (let i = 0; i < step.kib; i++)
          volume.write(file, volume.attributes(file).size, new Uint8Array(1024));
      } catch (error) {
        expect(codeOf(error)).toBe('EDQUOT');
      }
      volume.actAs!(0);
      return `${volume.attributes(file).size}`;
    }
    case 'make': {
      const [directory, name] = placeOf(volume, step.path);
      volume.actAs!(step.user);
      let made = 0;
      try {
        for (; made < step.count; made++)
          volume.create(directory, `${name}${made}`, { kind: 'directory', uid: step.user, gid: step.user });
      } catch (error) {
        expect(codeOf(error)).toBe('EDQUOT');
      }
      volume.actAs!(0);
      return `${made}`;
    }
    case 'truncate': {
      const [directory, name] = placeOf(volume, step.path);
      volume.setAttributes(volume.lookup(directory, name)!, { size: step.size });
      return 'done';
    }
    case 'sleep':
      return 'slept';
    case 'statfs': {
      const usage = volume.usage(volume.lookup(volume.root, step.path)!);
      const { totalBlocks, freeBlocks, availableBlocks, totalNodes, freeNodes } = usage;
      return `${totalBlocks} ${freeBlocks} ${availableBlocks} ${totalNodes} ${freeNodes}`;
    }
  }
}

function placeOf(volume: FileSystem, text: string): [directory: NodeId, name: string] {
  const [directory, name] = text.split('/');
  return [volume.lookup(volume.root, directory!)!, name!];
}

function codeOf(error: unknown): string {
  if (error instanceof FsError) return error.code;
  throw error;
}

/** Makes files of many owners in the root and in directories with projects; changes and removes some of them. */
function actAtRandom(volume: FileSystem, random: Random): void {
  const directories = [volume.root];
  const files: (readonly [directory: NodeId, name: string])[] = [];
  for (let i = 0; i < 120; i++) {
    const owners = { uid: random.below(2 ** 31), gid: random.below(30) * 5003 };
    const directory = random.pick(directories);
    const name = `n${i}`;
    if (volume.lookup(directory, name) !== undefined) continue;
    const roll = random.below(10);
    if (roll === 0) {
      const made = volume.create(directory, name, { kind: 'directory', ...owners });
      volume.setFlags!(made, { bits: volume.flags!(made).bits | 0x2000_0000, project: random.below(900) });
      directories.push(made);
    } else if (roll < 7) {
      const file = volume.create(directory, name, { kind: 'file', ...owners });
      volume.write(file, random.below(2) * random.below(100_000), random.bytes(random.below(60_000)));
      if (random.below(3) === 0) volume.setXattr(file, 'user.a', random.bytes(300));
      files.push([directory, name]);
    } else if (files.length > 0) {
      const [parent, other] = random.pick(files);
      const file = volume.lookup(parent, other);
      if (file === undefined) continue;
      if (roll === 7) volume.unlink(parent, other);
      else if (roll === 8) volume.setAttributes(file, { ...owners, size: random.below(30_000) });
      else volume.setFlags!(file, { project: random.below(50) });
    }
  }
}

function removeTree(
  volume: FileSystem,
  directory: NodeId,
  name: string,
  isMeant: (name: string) => boolean,
): void {
  const node = volume.lookup(directory, name)!;
  for (const entry of volume.entries(node)) {
    if (entry.kind === 'directory') removeTree(volume, node, entry.name, isMeant);
    else if (isMeant(entry.name)) volume.unlink(node, entry.name);
  }
  if ([...volume.entries(node)].length === 0) volume.removeDirectory(directory, name);
}

function expectClean(image: string): void {
  const { status, stdout, stderr } = runTool('e2fsck', ['-fn', image]);
  expect(stdout + stderr).not.toMatch(/\? no\n|WARNING|ERROR/);
  expect(status, stdout).toBe(0);
}

function listOf(image: string): Record<(typeof KINDS)[number], string> {
  const list = (kind: string): string => runTool('debugfs', ['-R', `list_quota ${kind}`, image]).stdout;
  return { user: list('user'), group: list('group'), project: list('project') };
}

/** Owner, KiB and nodes, of repquota's lines. */
function usesOf(report: string): string[] {
  return report
    .split('\n')
    .filter((line) => line.startsWith('#'))
    .map((line) => line.slice(1).split(','))
    .map(([id, , , kib, , , , nodes]) => `${id} ${kib} ${nodes}`)
    .sort();
}

/** The same of those that debugfs lists. */
function usesOfList(list: string): string[] {
  return list
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words.length > 4)
    .map(([id, space, , , nodes]) => `${id} ${Math.ceil(Number(space) / 1024)} ${nodes}`)
    .sort();
}
