// Keeps what V8 has compiled of scripts that start often; src/host/compiled-script.ts starts with it.
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';

const built = fileURLToPath(new URL('../dist/cli/', import.meta.url));
const { codeFile, compile, runScript } = createRequire(import.meta.url)('../dist/cli/compiled-script.cjs');

/** Of the command line, what some commands have run: all of it would take longer to read than the rest to compile. */
async function keepCommandLine() {
  const script = `${built}userloop.cjs`;
  const compiled = compile(script);
  const program = runScript(script, compiled);
  const folder = mkdtempSync(path.join(tmpdir(), 'userloop-build-'));
  const image = path.join(folder, 'image');
  const floppy = path.join(folder, 'floppy');
  const tree = path.join(folder, 'tree');
  const quiet = { isTerminal: false, columns: 80, write: () => {} };
  const io = {
    stdin: { isTerminal: false, readLine: () => undefined, readAll: () => new Uint8Array(0) },
    stdout: quiet,
    stderr: quiet,
    cwd: folder,
    env: { ...process.env, USERLOOP_RUNTIME_DIR: path.join(folder, 'run'), USERLOOP_BACKEND: 'user' },
  };
  writeFileSync(image, '');
  truncateSync(image, 4 << 20);
  writeFileSync(floppy, '');
  truncateSync(floppy, 1440 << 10);
  mkdirSync(path.join(tree, 'folder'), { recursive: true });
  // So many that the second thread begins to write, and more than goes into a block of the directory.
  for (let i = 0; i < 300; i++) writeFileSync(path.join(tree, 'folder', `file ${i}`), 'content');
  try {
    // None of these attaches, mounts or writes anywhere else.
    for (const argv of [
      ['--version'],
      ['losetup', '-l'],
      ['list'],
      ['mkfs.fat', image],
      ['mkfs.fat', floppy],
      ['mke2fs', '-q', '-F', image],
      ['ls', '-l', `${image}:/`],
      ['fdisk', '-l', image],
      ['inspect', image],
      ['fsck.fat', '-n', floppy],
      ['mke2fs', '-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-d', tree, image],
      ['cp', '-r', tree, `${image}:/again`],
      ['cp', '-r', tree, `${floppy}:/tree`],
      ['check', image],
      ['e2fsck', '-fn', image],
    ]) {
      await program.main('userloop', argv, io);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  writeFileSync(codeFile(script), compiled.createCachedData());
}

/** Of a device's process, everything: it cannot be run for this. */
function keepDeviceMain() {
  const script = `${built}device-main.cjs`;
  v8.setFlagsFromString('--no-lazy');
  const compiled = compile(script);
  // What is kept is refused by a V8 that has other flags.
  v8.setFlagsFromString('--lazy');
  writeFileSync(codeFile(script), compiled.createCachedData());
}

await keepCommandLine();
keepDeviceMain();
