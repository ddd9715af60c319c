import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { deviceViews } from '../../src/disk/device-views.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { plainNodeFs } from '../../src/filesystem/node-fs/face.ts';
import { DiskImage } from '../../src/disk/disk-image.ts';
import {
  DISK_MODULES,
  FAT_MODULES,
  findGuest,
  type LinuxGuest,
  NETWORK_MODULES,
  runInGuest,
  SOCKET_ADDRESS,
} from '../support/linux-guest.ts';
import { startNbdServer } from '../support/nbd-server.ts';
import { spawnSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;
const SECTOR = 512;
const folder = temporaryFolder();
const guest = findGuest();
const tools = ['qemu-system-x86_64', 'busybox', 'cpio', 'socat', 'nbd-client', 'losetup'];
const absent = [
  ...tools.filter((tool) => findTool(tool) === undefined),
  ...(guest === undefined ? ['a Linux kernel with its modules'] : []),
];
if (absent.length > 0 && process.env['CI'] === 'true')
  throw new Error(`Under CI these must be there: ${absent.join(', ')}`);

function emptyImage(name: string, size: number): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, size);
  return file;
}

async function must(argv: readonly string[], stdin = ''): Promise<string> {
  const result = await userloop(argv, { env: process.env, stdin });
  expect(`${argv.join(' ')}: ${result.status} ${result.stderr}`).toBe(`${argv.join(' ')}: 0 `);
  return result.stdout;
}

/** The partitions that a device has for us, as the kernel's /sys tells them: number, first sector and length in sectors of 512 bytes. */
function ourPartitions(image: string, sectorSize = SECTOR): string[] {
  const device = FileDevice.open(image, { readOnly: true, sectorSize });
  const found = deviceViews(device, 'loop', 0)
    .filter(({ partition }) => partition !== undefined)
    .map(({ partition, offset, size }) => `${partition} ${offset / SECTOR} ${size / SECTOR}`);
  device.close();
  return found.sort();
}

/** A shell function that prints what the kernel has found on a block device. */
const TELL_PARTITIONS =
  'tell() { for p in /sys/class/block/$1/$1*; do [ -d $p ] && echo "$2 $(cat $p/partition $p/start $p/size | tr "\\n" " ")"; done; }';

function told(output: string, name: string): string[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith(`${name} `))
    .map((line) => line.slice(name.length + 1).trim())
    .sort();
}

describe.skipIf(absent.length > 0)('a Linux kernel in an emulator', () => {
  const linux = guest as LinuxGuest;
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

  it('uses our NBD server over a unix socket, and what it writes is there', async () => {
    const file = emptyImage('served.img', 24 * MIB);
    const server = await startNbdServer({ file });
    const output = runInGuest(linux, {
      network: true,
      socket: server.socket,
      modules: [...NETWORK_MODULES, 'nbd'],
      programs: ['socat', 'nbd-client'],
      script: `
        /bin/socat UNIX-LISTEN:/tmp/s,fork TCP:${SOCKET_ADDRESS} &
        until grep -q ' 00010000 .* /tmp/s$' /proc/net/unix; do sleep 0.1; done
        /bin/nbd-client -unix /tmp/s /dev/nbd0 -C 4 && echo connected
        echo $(pidof socat | wc -w) programs
        cat /sys/block/nbd0/size
        mke2fs -F /dev/nbd0 >/dev/null
        mount -t ext4 /dev/nbd0 /mnt && echo mounted
        seq 1 100000 > /mnt/numbers; mkdir /mnt/folder; cp /bin/busybox /mnt/folder/
        rm /mnt/numbers; seq 1 50000 > /mnt/numbers
        rm /mnt/folder/busybox; fstrim /mnt && echo trimmed
        umount /mnt; echo 3 > /proc/sys/vm/drop_caches
        mount -t ext4 -o ro /dev/nbd0 /mnt; md5sum /mnt/numbers | cut -d" " -f1; umount /mnt
        /bin/nbd-client -d /dev/nbd0 && echo disconnected`,
    });
    await server.stop();
    const numbers = Array.from({ length: 50_000 }, (_, index) => `${index + 1}\n`).join('');
    const sum = createHash('md5').update(numbers).digest('hex');
    // One waits for connections, and one is in each of the four.
    expect(output).toContain('connected\n5 programs\n');
    expect(output).toContain(`${(24 * MIB) / SECTOR}\nmounted\ntrimmed\n${sum}\n`);
    expect(output).toContain('disconnected');
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
    expect(await must(['cat', `${file}:/numbers`])).toBe(numbers);
  });

  it('finds the partitions that we find', async () => {
    const images: string[] = [];
    let state = 0x1234567;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const tree = path.join(folder, 'tables');
    fs.mkdirSync(tree);
    for (let number = 0; number < 30; number++) {
      const image = emptyImage(`tables/t${number}.img`, (8 + random(3000)) * MIB);
      const isGpt = number % 2 === 1;
      const lines = [`label: ${isGpt ? 'gpt' : 'dos'}`];
      const count = 1 + random(isGpt ? 8 : 3);
      for (let index = 0; index < count; index++) {
        const size = 1 + random(Math.max(1, Math.floor(fs.statSync(image).size / MIB / (count + 4))));
        lines.push(
          `size=${size}MiB${random(3) === 0 ? ', bootable' : ''}`.replace(isGpt ? ', bootable' : '\n', ''),
        );
      }
      if (!isGpt && count < 4 && random(3) > 0) {
        lines.push(`${count + 1}: type=5`);
        for (let index = 0; index < 1 + random(4); index++) lines.push('size=1MiB');
      }
      const made = runTool('sfdisk', [image], { input: `${lines.join('\n')}\n` });
      expect(`${made.status} ${made.stderr}`).toBe('0 ');
      // Half of them go through our hands.
      if (number % 4 >= 2) {
        const partitions = ourPartitions(image);
        await must(['fdisk', image], partitions.length > 1 ? 'd\n2\nw\n' : 'd\nw\n');
      }
      images.push(image);
    }
    const large = emptyImage('large.img', 64 * MIB);
    await must(['fdisk', '-b', '4096', large], 'g\nn\n1\n\n+10M\nn\n2\n\n+5M\nw\n');
    const dos = emptyImage('large-dos.img', 64 * MIB);
    await must(['fdisk', '-b', '4096', dos], 'o\nn\np\n1\n\n+10M\nn\ne\n2\n\n\nn\n\n+5M\nw\n');
    const disk = path.join(folder, 'tables.img');
    // Sparse as they are: the file system holds nothing but their tables.
    expect(spawnSync(findTool('mke2fs')!, ['-q', '-t', 'ext4', '-d', tree, disk, '256M']).status).toBe(0);
    const output = runInGuest(linux, {
      modules: [...DISK_MODULES, 'loop'],
      programs: ['losetup'],
      drives: [
        { image: disk, readOnly: true },
        { image: large, readOnly: true, sectorSize: 4096 },
        { image: dos, readOnly: true, sectorSize: 4096 },
      ],
      script: `
        ${TELL_PARTITIONS}
        mount -t ext4 -o ro /dev/vda /mnt
        n=0; while [ $n -lt 30 ]; do
          d=$(/bin/losetup -r -P -f --show /mnt/t$n.img); tell \${d#/dev/} t$n; n=$((n+1))
        done
        tell vdb large; tell vdc large-dos`,
    });
    for (const [number, image] of images.entries())
      expect(`${number}: ${told(output, `t${number}`).join()}`).toBe(
        `${number}: ${ourPartitions(image).join()}`,
      );
    expect(told(output, 'large')).toEqual(ourPartitions(large, 4096));
    expect(told(output, 'large').length).toBe(2);
    expect(told(output, 'large-dos')).toEqual(ourPartitions(dos, 4096));
  });

  for (const bits of [12, 16, 32]) {
    it(`reads our FAT${bits} and writes to it`, async () => {
      const image = emptyImage(`fat${bits}.img`, (bits === 12 ? 4 : bits === 16 ? 32 : 64) * MIB);
      await must(['mkfs.fat', '-F', String(bits), image]);
      const source = path.join(folder, `source${bits}`);
      fs.mkdirSync(path.join(source, 'A folder with a long name/deeper'), { recursive: true });
      const names = [
        'SHORT.TXT',
        'lower.txt',
        'A long name with spaces.text',
        'Grüße.txt',
        'naïve ☃ 😀.bin',
        'x'.repeat(200),
      ];
      for (const [index, name] of names.entries()) {
        fs.writeFileSync(path.join(source, name), Buffer.alloc(index * 5000 + 1, index + 65));
        fs.writeFileSync(path.join(source, 'A folder with a long name/deeper', name), name);
      }
      await must(['cp', '-r', `${source}/.`, `${image}:/`]);
      const output = runInGuest(linux, {
        modules: [...DISK_MODULES, ...FAT_MODULES],
        drives: [{ image }],
        script: `
          mount -t vfat -o utf8=1,iocharset=utf8 /dev/vda /mnt
          cd /mnt; find . -type f | sort | while read -r f; do echo "sum $(md5sum "$f")"; done
          mkdir "Made by Linux"; cp SHORT.TXT "Made by Linux/A copy with a long name"; rm lower.txt
          mv "A long name with spaces.text" "Moved — away.text"; seq 1 3000 > "Made by Linux/numbers"
          echo more >> SHORT.TXT
          find . -type f | sort | while read -r f; do echo "end $(md5sum "$f")"; done
          cd /; umount /mnt && echo unmounted`,
      });
      const sums = (mark: string): string[] =>
        Buffer.from(output, 'latin1')
          .toString()
          .split('\n')
          .filter((line) => line.startsWith(`${mark} `))
          .map((line) => line.slice(mark.length + 1))
          .sort();
      expect(output).toContain('unmounted');
      expect(sums('sum').length).toBe(2 * names.length);
      expect(sums('sum')).toEqual(sumsOfFolder(source));
      const check = runTool('fsck.fat', ['-n', image]);
      expect(`${check.status} ${check.stdout}`).toMatch(/^0 /);
      expect(sums('end').length).toBe(2 * names.length + 1);
      expect(sums('end')).toEqual(sumsOfImage(image));
    });
  }
});

function sumLine(content: Uint8Array, name: string): string {
  return `${createHash('md5').update(content).digest('hex')}  ./${name}`;
}

function sumsOfFolder(root: string): string[] {
  return (fs.readdirSync(root, { recursive: true }) as string[])
    .filter((name) => fs.statSync(path.join(root, name)).isFile())
    .map((name) => sumLine(fs.readFileSync(path.join(root, name)), name))
    .sort();
}

function sumsOfImage(image: string): string[] {
  const disk = DiskImage.open(FileDevice.open(image, { readOnly: true }));
  const files = plainNodeFs(disk.fileSystem());
  const sums: string[] = [];
  const walk = (folderName: string): void => {
    for (const name of files.readdirSync(`/${folderName}`) as string[]) {
      const inner = folderName === '' ? name : `${folderName}/${name}`;
      if (files.statSync(`/${inner}`).isDirectory()) walk(inner);
      else sums.push(sumLine(files.readFileSync(`/${inner}`) as Uint8Array, inner));
    }
  };
  walk('');
  disk.close();
  return sums.sort();
}
