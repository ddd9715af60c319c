import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { spawnSync } from '../support/programs.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/** Standard output that cannot be written: /dev/full takes nothing, and a pipe may have lost its reader. */
const PROGRAM = path.resolve(import.meta.dirname, '../../bin/userloop');

function shell(command: string, cwd: string): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync('bash', ['-c', command, PROGRAM, process.execPath, PROGRAM], {
    cwd,
    encoding: 'utf8',
  });
  return { status, stderr };
}

describeWithTools(['bash', 'mke2fs', 'e2fsck'], 'output that cannot be written', () => {
  function volume(type: string): string {
    const folder = temporaryFolder();
    runTool('mke2fs', ['-q', '-F', '-t', type, path.join(folder, 'disk.img'), '8M']);
    fs.mkdirSync(path.join(folder, 'tree'));
    for (let i = 0; i < 200; i++) fs.writeFileSync(path.join(folder, 'tree', `file ${i}`), `${i}`);
    return folder;
  }

  it.each([
    ['--help', 'userloop', 1],
    ['--version', 'userloop', 1],
    ['ls --help', 'userloop ls', 1],
    ['ls disk.img:/', 'userloop ls', 1],
    ['inspect disk.img', 'userloop inspect', 1],
    ['find disk.img:/', 'userloop find', 1],
    ['fdisk -l disk.img', 'fdisk', 1],
    ['check disk.img', 'userloop check', 8],
  ])('is told as such: %s', (command, prefix, status) => {
    const folder = volume('ext2');
    expect(shell(`"$1" "$2" ${command} > /dev/full`, folder)).toEqual({
      status,
      stderr: `${prefix}: write error: No space left on device\n`,
    });
    expect(shell(`"$1" "$2" ${command} | true; exit \${PIPESTATUS[0]}`, folder)).toEqual({
      status: 141,
      stderr: '',
    });
  });

  it.each(['ext2', 'ext4'])('leaves an %s whole, with what was copied until then', (type) => {
    for (const sink of ['> /dev/full', '| head -n 20 > /dev/null; exit ${PIPESTATUS[0]}']) {
      const folder = volume(type);
      const { status } = shell(`"$1" "$2" cp -rv tree disk.img:/ ${sink}`, folder);
      expect([1, 141]).toContain(status);
      expect(runTool('e2fsck', ['-fn', path.join(folder, 'disk.img')])).toMatchObject({ status: 0 });
      const listed = shell('"$1" "$2" ls disk.img:/tree > listed', folder);
      expect(listed.status).toBe(0);
      // The first line tells of the folder, and is the first that cannot be written to /dev/full.
      if (status === 141) expect(fs.readFileSync(path.join(folder, 'listed'), 'utf8')).not.toBe('');
    }
  });

  it('does not stop what only has nothing to complain to', () => {
    const folder = volume('ext2');
    const { status } = shell('"$1" "$2" rm disk.img:/absent disk.img:/lost+found -r 2> /dev/full', folder);
    expect(status).toBe(1);
    expect(shell('"$1" "$2" ls disk.img:/', folder)).toEqual({ status: 0, stderr: '' });
  });
});
