import { UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import { bashCompletion } from '../completion/bash.ts';
import { completedCommands } from '../completion/commands.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';
import { getopt } from '../getopt.ts';

const SHELLS: Readonly<Record<string, typeof bashCompletion>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export const completion = defineApplet({
  name: 'completion',
  kind: 'verb',
  summary: 'print the completion script for a shell',
  usage: ['userloop completion bash|zsh|fish'],
  description: ['Prints a script that teaches the shell every command of userloop and every option of each.'],
  options: [],
  examples: [
    { command: 'eval "$(userloop completion bash)"', explanation: 'In ~/.bashrc.' },
    { command: 'eval "$(userloop completion zsh)"', explanation: 'In ~/.zshrc, after compinit.' },
    { command: 'userloop completion fish | source', explanation: 'In ~/.config/fish/config.fish.' },
  ],
  exitStatus: { 0: 'printed', 2: 'the command line is wrong' },
  async run(io, argv) {
    const { operands } = getopt(argv, []);
    const [shell, ...more] = operands;
    if (shell === undefined) throw new UsageError('the name of a shell is missing: bash, zsh or fish');
    if (more.length > 0) throw new UsageError(`one shell at a time, "${more[0]}" is one too many`);
    if (!Object.hasOwn(SHELLS, shell)) {
      throw new UsageError(`there is no completion for "${shell}", only for bash, zsh and fish`);
    }
    io.stdout.write(SHELLS[shell]!(await completedCommands()));
    return 0;
  },
});
