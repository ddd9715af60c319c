// GRUB legacy from the machine's own stage files, and QEMU to see its menu come up over the serial line.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { command, failed, output, passed } from './console.mjs';
import { findTool, program } from './session.mjs';

const STAGE_FOLDERS = ['/usr/lib/grub', '/lib/grub', '/usr/share/grub', '/boot/grub'];
const BOOT_TIMEOUT_MS = 45_000;

/** The folder with stage1 and stage2 of GRUB legacy, where the machine has it. */
export function findStageFiles() {
  for (const folder of STAGE_FOLDERS) {
    if (!fs.existsSync(folder)) continue;
    const candidates = [folder, ...fs.readdirSync(folder).map((name) => path.join(folder, name))];
    const found = candidates.find((candidate) =>
      ['stage1', 'stage2'].every((name) => fs.existsSync(path.join(candidate, name))),
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Copies the stage files and a menu into `directory` of the image and runs the grub shell on it. */
export function installGrub(session, stages, { image, place, directory, stage15, menuTitle, map, commands }) {
  const menu = [
    'serial --unit=0 --speed=115200',
    'terminal --timeout=0 serial',
    'timeout 30',
    `title ${menuTitle}`,
    'halt',
    '',
  ];
  fs.writeFileSync(path.join(session.folder, 'menu.lst'), menu.join('\n'));
  fs.writeFileSync(path.join(session.folder, 'device.map'), `${map}\n`);
  session.run(['mkdir', '-p', `${place}:${directory}`], { classic: `mkdir -p /mnt${directory}` });
  const files = ['stage1', 'stage2', ...(stage15 === undefined ? [] : [stage15])];
  session.run(['cp', ...files.map((name) => path.join(stages, name)), `${place}:${directory}/`], {
    classic: `cp ${stages}/{${files.join(',')}} /mnt${directory}`,
  });
  session.run(['cp', 'menu.lst', 'device.map', `${place}:${directory}/`], {
    classic: `cp menu.lst device.map /mnt${directory}`,
  });
  const said = session.run(['grub', '--batch', '--device-map=device.map'], {
    input: `${commands.join('\n')}\nquit\n`,
    classic: `printf '${commands.join('\\n')}\\n' | grub --batch --device-map=device.map`,
    lines: 30,
    expect: ['Done.'],
  });
  if (said.includes('Done.')) passed(`GRUB is installed in ${image}`);
}

/** Boots all images side by side, without a display, and waits until the menu's title has come over each serial line. */
export async function bootUntilMenu(session, plans) {
  const guests = plans.map((plan) => startGuest(session, plan));
  const deadline = Date.now() + BOOT_TIMEOUT_MS;
  while (guests.some(({ state }) => state === 'running') && Date.now() < deadline) {
    await sleep(50);
    for (const guest of guests) look(guest);
  }
  for (const { image, argv, log, state, child } of guests) {
    if (state === 'running') endGroup(child.pid);
    command(`qemu-system-i386 -nographic ${image}`, `userloop ${argv.join(' ')}`);
    output(readable(fs.readFileSync(log, 'latin1')), 8);
    fs.rmSync(log);
    if (state === 'menu') passed(`${image} boots: GRUB's menu is there`);
    else failed(`${image} did not reach GRUB's menu within ${BOOT_TIMEOUT_MS / 1000} s`);
  }
}

function startGuest(session, { image, menuTitle }) {
  const argv = ['boot', '--snapshot', '--display', 'none', '--serial', image];
  const log = path.join(session.folder, `${image}.serial`);
  const fd = fs.openSync(log, 'w');
  // A file, because QEMU drops what a pipe does not take at once; a group of its own, so that QEMU ends with it.
  const child = spawn(process.execPath, [program, ...argv], {
    cwd: session.folder,
    detached: true,
    stdio: ['pipe', fd, fd],
  });
  fs.closeSync(fd);
  return { image, menuTitle, argv, log, child, state: 'running' };
}

function look(guest) {
  if (guest.state !== 'running') return;
  if (fs.readFileSync(guest.log, 'latin1').includes(guest.menuTitle)) {
    guest.state = 'menu';
    endGroup(guest.child.pid);
  } else if (guest.child.exitCode !== null) guest.state = 'ended';
}

export function hasEmulator() {
  return findTool('qemu-system-i386') !== undefined || findTool('qemu-system-x86_64') !== undefined;
}

function endGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** The serial line's text without the cursor's movements. */
function readable(text) {
  return text
    .split('\u001b')
    .map((part) => part.replace(/^\[[0-9;]*[A-Za-z]/, ''))
    .join('\n')
    .replaceAll(/[^ -~\n]/g, '')
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => /[A-Za-z]{3}/.test(line))
    .join('\n');
}
