import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { FsError, UsageError, hasCode } from '../../errors.ts';
import { makeFolders } from '../../host/make-folders.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { REGISTRY } from '../registry.ts';

export const applets = defineApplet({
  name: 'applets',
  kind: 'verb',
  summary: 'list the classic tools, or link their names to this program',
  usage: ['userloop applets', 'userloop applets --install DIR [--force]'],
  description: [
    'Without an option, prints the name of every classic tool that userloop stands in for, one a line.',
    'With --install, makes a symbolic link of each name in DIR that points to this program. A folder of such links in front of PATH makes scripts that were written for the classic tools use these.',
    'Names that are taken are left alone and reported, unless they are links of ours already.',
  ],
  options: [
    {
      long: 'install',
      argument: 'required',
      argumentName: 'DIR',
      description: 'make the links in DIR, which is made where it is missing',
    },
    { short: 'f', long: 'force', description: 'replace files and links that have one of the names' },
  ],
  examples: [
    { command: 'userloop applets --install ~/.local/userloop', explanation: 'Links all of them.' },
    {
      command: 'PATH=~/.local/userloop:$PATH make floppy.img',
      explanation: 'Runs a Makefile that calls mkdosfs with ours.',
    },
  ],
  exitStatus: {
    0: 'done',
    1: 'a name was taken, or a link could not be made',
    2: 'the command line is wrong',
  },
  run(io, argv) {
    const given = getopt(argv, applets.options);
    if (given.operands.length > 0) throw new UsageError(`"${given.operands[0]}" is one operand too many`);
    const folder = given.value('install');
    const names = REGISTRY.filter(({ kind }) => kind === 'applet').flatMap((entry) => entry.names);
    if (folder === undefined) {
      if (given.has('force')) throw new UsageError('--force goes with --install');
      io.stdout.write(names.map((name) => `${name}\n`).join(''));
      return 0;
    }
    const target = programPath();
    const directory = path.resolve(io.cwd, folder);
    makeFolders(directory);
    let status = 0;
    for (const name of names) {
      if (linkName(path.join(directory, name), target, given.has('force'))) continue;
      io.stderr.write(`userloop applets: ${path.join(folder, name)}: File exists\n`);
      status = 1;
    }
    return status;
  },
});

/** False when the name is taken by something else. */
function linkName(link: string, target: string, force: boolean): boolean {
  const existing = fs.lstatSync(link, { throwIfNoEntry: false });
  if (existing?.isSymbolicLink() === true && fs.readlinkSync(link) === target) return true;
  if (existing !== undefined) {
    if (!force || existing.isDirectory()) return false;
    fs.unlinkSync(link);
  }
  try {
    fs.symlinkSync(target, link);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
  return true;
}

/** bin/userloop of the package that this module belongs to; the module lies deeper when it is bundled. */
function programPath(): string {
  for (let folder = path.dirname(fileURLToPath(import.meta.url)); ; folder = path.dirname(folder)) {
    const program = path.join(folder, 'bin', 'userloop');
    if (fs.existsSync(program)) return program;
    if (folder === path.dirname(folder)) throw new FsError('ENOENT', { path: 'bin/userloop' });
  }
}
