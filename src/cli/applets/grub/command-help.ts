import { wrap } from '../../help.ts';
import { type Command, type Shell, splitWords } from './command.ts';
import { COMMANDS } from './commands.ts';

const COLUMN = 39;

const BUILTINS: readonly Pick<Command, 'name' | 'parameters' | 'description' | 'listed'>[] = [
  ...COMMANDS,
  {
    name: 'help',
    parameters: '[--all] [PATTERN ...]',
    description:
      'List the commands, or describe those whose names begin with PATTERN. With --all the rarer ones, too.',
    listed: true,
  },
  { name: 'quit', parameters: '', description: 'Leave the GRUB shell.', listed: true },
].sort((a, b) => (a.name < b.name ? -1 : 1));

/** Two columns of commands, or the description of those whose names begin with one of the patterns. */
export function printHelp(shell: Shell, text: string): void {
  const words = splitWords(text);
  const all = words[0] === '--all';
  const patterns = all ? words.slice(1) : words;
  if (patterns.length === 0) {
    printColumns(shell, BUILTINS.filter((command) => all || command.listed).map(synopsis));
    return;
  }
  for (const pattern of patterns) {
    for (const command of BUILTINS) {
      if (!command.name.startsWith(pattern)) continue;
      shell.print(`${command.name}: ${synopsis(command)}\n`);
      for (const line of wrap(command.description, 64)) shell.print(`    ${line}\n`);
    }
  }
}

function synopsis({ name, parameters }: Pick<Command, 'name' | 'parameters'>): string {
  return parameters === '' ? name : `${name} ${parameters}`;
}

function printColumns(shell: Shell, cells: readonly string[]): void {
  for (let i = 0; i < cells.length; i += 2) {
    const row = cells.slice(i, i + 2).map((cell) => cell.slice(0, COLUMN - 1).padEnd(COLUMN));
    shell.print(`${row.join('')}\n`);
  }
}
