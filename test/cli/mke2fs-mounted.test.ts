import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/userloop', import.meta.url));

describeWithTools(['unshare', 'mount'], 'mke2fs, as it looks for what is mounted', () => {
  it('passes over sources that cannot be looked at', () => {
    const folder = temporaryFolder();
    const image = path.join(folder, 'a.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 4 << 20);
    fs.mkdirSync(path.join(folder, 'm'));
    const source = `/${'x'.repeat(300)}`;
    expect(() => fs.statSync(source)).toThrow('ENAMETOOLONG');
    const script = `mount -t tmpfs "$1" "$2/m" && grep -q "$1" /proc/mounts && "$3" "$4" mke2fs -q -F "$5"`;
    const args = ['-Urm', 'sh', '-c', script, 'sh', source, folder, process.execPath, PROGRAM, image];
    const { status, stderr } = runTool('unshare', args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});

describe('mke2fs', () => {
  it('makes no file in the place of a device that is not there', async () => {
    const result = await userloop(['mke2fs', '/dev/loop987654p1', '1M']);
    expect([result.status, result.stdout]).toEqual([1, '']);
    expect(result.stderr).toContain(
      'The device /dev/loop987654p1 does not exist; no file is made in /dev.\n',
    );
    expect(fs.existsSync('/dev/loop987654p1')).toBe(false);
  });
});
