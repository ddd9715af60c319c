import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();

function newImage(size: number, name = 'c.img'): string {
  const file = path.join(folder, name);
  fs.rmSync(file, { force: true });
  fs.writeFileSync(file, '');
  fs.truncateSync(file, size);
  return file;
}

function fdisk(args: readonly string[], stdin = ''): ReturnType<typeof userloop> {
  return userloop(['fdisk', ...args], { cwd: folder, stdin });
}

describe('fdisk', () => {
  test('prints the listing of the OSDev article for the command line of the OSDev article', async () => {
    newImage(516096000);
    const args = ['-u', '-C1000', '-S63', '-H16', 'c.img'];
    const { status, stdout, stderr } = await fdisk(args, 'o\nn\np\n1\n\n\na\np\nw\n');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('First sector (63-1007999, default 63): ');
    const listing = [
      'Disk c.img: 516 MB, 516096000 bytes',
      '16 heads, 63 sectors/track, 1000 cylinders, total 1008000 sectors',
      'Units = sectors of 1 * 512 = 512 bytes',
      '',
      'Device Boot      Start         End      Blocks   Id  System',
      'c.img1   *          63     1007999      503968+  83  Linux',
      '',
    ].join('\n');
    expect(stdout).toContain(listing);
    expect((await fdisk(['-l', ...args])).stdout).toBe(listing);
    const entry = Buffer.alloc(16);
    const fd = fs.openSync(path.join(folder, 'c.img'), 'r');
    fs.readSync(fd, entry, 0, 16, 446);
    fs.closeSync(fd);
    expect(entry.toString('hex')).toBe('80010100830fffe73f00000041610f00');
  });

  test('writes nothing before w: not at q, not at the end of the input', async () => {
    const file = newImage(1 << 20);
    for (const keys of ['o\nn\n\n\n\n\nq\n', 'o\nn\n\n\n\n\n', 'o\nn\np\n']) {
      expect((await fdisk(['c.img'], keys)).status).toBe(0);
      expect(fs.statSync(file).blocks).toBe(0);
    }
  });

  test('keeps the boot code when partitions change, and with -B even when the table is made anew', async () => {
    const file = newImage(1 << 20);
    const code = Buffer.alloc(440, 0xc3);
    fs.writeFileSync(file, code, { flag: 'r+' });
    await fdisk(['-B', 'c.img'], 'o\nw\n');
    await fdisk(['c.img'], 'n\n\n\n\n\na\nw\n');
    expect(fs.readFileSync(file).subarray(0, 440)).toEqual(code);
  });

  test('keeps all but the first sector', async () => {
    const file = newImage(3 << 20);
    const content = Buffer.alloc(3 << 20, 0x77);
    fs.writeFileSync(file, content);
    await fdisk(['c.img'], 'o\nn\n\n\n\n\nw\n');
    expect(Buffer.compare(fs.readFileSync(file).subarray(512), content.subarray(512))).toBe(0);
  });

  test.each([
    ['nosuch.img', 'No such file or directory'],
    ['.', 'Is a directory'],
    ['short.img', 'Invalid argument'],
    ['/dev/null', 'Invalid argument'],
  ])('says why it cannot open %s', async (name, reason) => {
    newImage(511, 'short.img');
    expect(await fdisk([name], 'o\nw\n')).toMatchObject({
      status: 1,
      stderr: `fdisk: cannot open ${name}: ${reason}\n`,
    });
    expect(await fdisk(['-l', name])).toMatchObject({
      status: 1,
      stderr: `fdisk: cannot open ${name}: ${reason}\n`,
    });
  });

  test.each([[[]], [['a', 'b']]])('wants one disk, not %j', async (args) => {
    expect(await fdisk(args)).toMatchObject({
      status: 1,
      stderr: "fdisk: bad usage\nTry 'fdisk --help' for more information.\n",
    });
  });

  test('refuses the labels that it cannot make by their names, and says which commands are unknown', async () => {
    newImage(1 << 20);
    const { stderr } = await fdisk(['c.img'], 'G\ns\nM\nx\nk\n');
    const lines = stderr.trimEnd().split('\n');
    expect(lines.filter((line) => line.endsWith(': not supported yet'))).toHaveLength(2);
    expect(lines.filter((line) => line.endsWith(': unknown command'))).toEqual([
      'M: unknown command',
      'k: unknown command',
    ]);
  });

  test('finds sectors of 4096 bytes by the table, says so, and takes -b for an order', async () => {
    newImage(16 << 20);
    expect((await fdisk(['-b', '4096', 'c.img'], 'g\nn\n\n\n\nw\n')).status).toBe(0);
    const found = await fdisk(['-l', 'c.img']);
    expect(found.stderr).toContain('the table counts in sectors of 4096 bytes, which are used');
    expect(found.stdout).toContain('Units: sectors of 1 * 4096 = 4096 bytes');
    expect(found.stdout).toMatch(/^c\.img1 +256 +3839 +3584 +14M Linux filesystem$/m);
    const ordered = await fdisk(['-b', '512', '-l', 'c.img']);
    expect(ordered.stdout).toContain('Disklabel type: dos');
  });
});
