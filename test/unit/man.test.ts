import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Applet } from '../../src/cli/applet.ts';
import { optionHeading, renderHelp } from '../../src/cli/help.ts';
import { manPageName, renderManPage, renderOverviewPage } from '../../src/cli/man-page.ts';
import { REGISTRY } from '../../src/cli/registry.ts';
import { spawnSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, findTool, runTool, temporaryFolder } from '../support/tools.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../docs/man');

const commands: Applet[] = await Promise.all(REGISTRY.map((entry) => entry.load()));

/** Short and long option names of a command, with their dashes, sorted. */
function optionNames({ options }: Applet): string[] {
  return options
    .flatMap(({ short, long }) => [
      ...(short === undefined ? [] : [`-${short}`]),
      ...(long === undefined ? [] : [`--${long}`]),
    ])
    .sort();
}

describe('docs/man', () => {
  it('is what the commands say now (npm run man writes it)', () => {
    const pages = new Map([['userloop.1', renderOverviewPage()]]);
    for (const command of commands) pages.set(`${manPageName(command)}.1`, renderManPage(command));
    expect(fs.readdirSync(FOLDER).sort()).toEqual([...pages.keys()].sort());
    for (const [name, text] of pages) {
      expect(fs.readFileSync(path.join(FOLDER, name), 'utf8'), name).toBe(text);
    }
  });

  it('names the same options as --help and as the completion for every command', async () => {
    const { stdout: fish } = await userloop(['completion', 'fish']);
    const { stdout: bash } = await userloop(['completion', 'bash']);
    for (const command of commands) {
      const expected = optionNames(command);
      const heading = /(?<![\w-])(--?[^\s,[=]+)/g;
      const inHelp = renderHelp(command)
        .split('\nOptions:\n')[1]
        ?.split('\nExamples:')[0]
        ?.split('\n')
        .filter((line) => /^ {2,6}-/.test(line))
        .flatMap((line) => {
          const names = line.slice(
            0,
            line.trimStart().search(/ {2}|$/) + (line.length - line.trimStart().length),
          );
          return [...names.matchAll(heading)].map((match) => match[1]!);
        });
      expect((inHelp ?? []).sort(), `${command.name} --help`).toEqual(expected);

      const page = renderManPage(command).split('.SH OPTIONS\n')[1]?.split('\n.SH ')[0] ?? '';
      const inPage = page
        .split('\n')
        .filter((line, index, all) => all[index - 1] === '.TP' && line.startsWith('.B '))
        .flatMap((line) => [...unescape(line).matchAll(heading)].map((match) => match[1]!));
      expect(inPage.sort(), `${command.name}.1`).toEqual(expected);

      const inFish = fish
        .split('\n')
        .filter((line) => line.includes(`'__fish_seen_subcommand_from ${command.name}'`))
        .flatMap((line) => [
          ...[...line.matchAll(/ -s '(.)'/g)].map((match) => `-${match[1]}`),
          ...[...line.matchAll(/ -l '([^']+)'/g)].map((match) => `--${match[1]}`),
        ]);
      expect(inFish.sort(), `fish ${command.name}`).toEqual(expected);

      const inBash = bash
        .split('\n')
        .find((line) => line.startsWith(`    ${command.name}) words=`))
        ?.match(/'(.*)'/)?.[1]
        ?.split(' ')
        .map((word) => word.replace(/=$/, ''));
      expect((inBash ?? []).sort(), `bash ${command.name}`).toEqual(expected);
    }
  });

  it('tells what is not supported', () => {
    for (const command of commands) {
      for (const item of command.notSupported ?? []) {
        expect(unescape(renderManPage(command))).toContain(item.replaceAll('…', '...'));
      }
    }
  });
});

function unescape(roff: string): string {
  return roff
    .replaceAll('\\-', '-')
    .replaceAll('\\&', '')
    .replaceAll('\\(dq', '"')
    .replaceAll('\\(aq', "'")
    .replaceAll('\\(ga', '`')
    .replaceAll('\\(ti', '~')
    .replaceAll('\\(ha', '^')
    .replaceAll('\\e', '\\');
}

describeWithTools(['groff'], 'the man pages', () => {
  it('renders every page without a warning, with every option in it', () => {
    for (const command of [undefined, ...commands]) {
      const name = command === undefined ? 'userloop.1' : `${manPageName(command)}.1`;
      const file = path.join(FOLDER, name);
      const { status, stdout, stderr } = runTool('groff', [
        '-man',
        '-Tutf8',
        '-ww',
        '-P-c',
        '-rLL=400n',
        file,
      ]);
      expect([status, stderr], name).toEqual([0, '']);
      // Bold is printed as a character, a backspace and the character again.
      const text = stdout
        .split('\b')
        .map((part, index, all) => (index < all.length - 1 ? part.slice(0, -1) : part))
        .join('');
      for (const spec of command?.options ?? []) expect(text, name).toContain(optionHeading(spec));
    }
  });
});

/** A shell's function in place of the program: what `userloop list` prints of two devices. */
const LIST = String.raw`userloop() { printf '%s\n' 'DEVICE SIZE RO IMAGE' '/run/u/dev/loop3 1024  0 /x y' '/a b/dev/vnd0c 512  1 z'; }`;

describeWithTools(['bash'], 'the completion for bash', () => {
  async function complete(...words: string[]): Promise<string[]> {
    const folder = temporaryFolder();
    fs.writeFileSync(path.join(folder, 'floppy.img'), '');
    const { stdout: script } = await userloop(['completion', 'bash']);
    fs.writeFileSync(path.join(folder, 'script'), script);
    const command = `compopt() { :; }; ${LIST}; . ./script; COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _userloop; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', command, 'bash', ...words], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((line) => line !== '');
  }

  it('offers devices to what takes them', async () => {
    expect(await complete('userloop', 'detach', '')).toEqual(
      expect.arrayContaining(['loop3', 'vnd0c', 'floppy.img']),
    );
    expect(await complete('userloop', 'detach', 'vn')).toEqual(['vnd0c']);
    expect(await complete('userloop', 'umount', '/dev/vn')).toEqual(['/dev/vnd0c']);
    expect(await complete('userloop', 'ls', 'loo')).toEqual([]);
  });

  it('offers commands, then options of the command, then files', async () => {
    expect(await complete('userloop', 'compl')).toEqual(['completion']);
    expect(await complete('userloop', 'applets', '--in')).toEqual(['--install']);
    expect(await complete('userloop', 'applets', 'flop')).toEqual(['floppy.img']);
    expect(await complete('userloop', 'completion', '--h')).toEqual(['--help']);
  });
});

describe('completion', () => {
  it('refuses a shell that it does not know, and more or less than one', async () => {
    const unknown = await userloop(['completion', 'tcsh']);
    expect([unknown.status, unknown.stdout]).toEqual([2, '']);
    expect(unknown.stderr).toContain('there is no completion for "tcsh", only for bash, zsh and fish');
    expect((await userloop(['completion'])).status).toBe(2);
    expect((await userloop(['completion', 'bash', 'zsh'])).status).toBe(2);
  });

  it('for zsh and fish parses where the shell is there', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { status, stdout } = await userloop(['completion', shell]);
      expect(status).toBe(0);
      const program = findTool(shell);
      if (program === undefined) continue;
      const file = path.join(temporaryFolder(), 'script');
      fs.writeFileSync(file, stdout);
      const checked = spawnSync(program, ['-n', file], { encoding: 'utf8' });
      expect([checked.status, checked.stderr], shell).toEqual([0, '']);
    }
  });
});

describe('applets', () => {
  it('lists every classic name and links each to the program', async () => {
    const folder = path.join(temporaryFolder(), 'bin');
    const names = REGISTRY.filter(({ kind }) => kind === 'applet').flatMap((entry) => entry.names);
    const { stdout } = await userloop(['applets']);
    expect(stdout.split('\n').slice(0, -1)).toEqual(names);
    const { status, stderr } = await userloop(['applets', '--install', folder]);
    expect([status, stderr]).toEqual([0, '']);
    expect(fs.readdirSync(folder).sort()).toEqual([...names].sort());
    for (const name of names) {
      expect(fs.realpathSync(path.join(folder, name))).toBe(
        path.resolve(import.meta.dirname, '../../bin/userloop'),
      );
    }
    expect((await userloop(['applets', '--install', folder])).status).toBe(0);
  });

  it('leaves a name that is taken alone and reports it, unless it is told to replace it', async () => {
    const folder = temporaryFolder();
    const name = REGISTRY.find(({ kind }) => kind === 'applet')!.names[0]!;
    fs.writeFileSync(path.join(folder, name), 'mine');
    const refused = await userloop(['applets', '--install', '.'], { cwd: folder });
    expect(refused).toMatchObject({ status: 1, stderr: `userloop applets: ${name}: File exists\n` });
    expect(fs.readFileSync(path.join(folder, name), 'utf8')).toBe('mine');
    expect((await userloop(['applets', '--install', '.', '--force'], { cwd: folder })).status).toBe(0);
    expect(fs.lstatSync(path.join(folder, name)).isSymbolicLink()).toBe(true);
  });
});

describeWithTools(['fish'], 'the completion', () => {
  it('offers commands, options and devices', async () => {
    const folder = temporaryFolder();
    fs.writeFileSync(path.join(folder, 'floppy.img'), '');
    fs.writeFileSync(path.join(folder, 'script'), (await userloop(['completion', 'fish'])).stdout);
    const list = "function userloop; printf '%s\\n' 'DEVICE SIZE' '/run/u/dev/loop3 1024  0 /x y'; end";
    const complete = (line: string): string[] =>
      runTool('fish', ['-N', '-c', `${list}; source script; complete -C '${line}'`], {
        cwd: folder,
        env: { HOME: folder },
      })
        .stdout.split('\n')
        .map((each) => each.split('\t')[0]!)
        .filter((each) => each !== '');
    expect(complete('userloop compl')).toEqual(['completion']);
    expect(complete('userloop applets --in')).toEqual(['--install']);
    expect(complete('userloop ls flop')).toEqual(['floppy.img']);
    expect(complete('userloop detach loo')).toEqual(['loop3']);
    expect(complete('userloop umount ')).toContain('/dev/loop3');
  });
});

describeWithTools(['zsh'], 'the completion', () => {
  it('is a script that zsh takes', async () => {
    const file = path.join(temporaryFolder(), '_userloop');
    fs.writeFileSync(file, (await userloop(['completion', 'zsh'])).stdout);
    expect(runTool('zsh', ['-f', '-n', file])).toMatchObject({ status: 0, stderr: '' });
  });
});
