import type { CompletedCommand } from './commands.ts';

/** For `userloop completion fish | source`. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const lines = ['# fish completion for userloop'];
  for (const { name, summary } of commands) {
    lines.push(`complete -c userloop -n __fish_use_subcommand -f -a ${quote(name)} -d ${quote(summary)}`);
  }
  for (const { name, options } of commands) {
    const condition = quote(`__fish_seen_subcommand_from ${name}`);
    for (const { short, long, argument, description } of options) {
      const parts = [`complete -c userloop -n ${condition}`];
      if (short !== undefined) parts.push(`-s ${quote(short)}`);
      if (long !== undefined) parts.push(`-l ${quote(long)}`);
      if (argument === 'required') parts.push('-r');
      parts.push(`-d ${quote(description)}`);
      lines.push(parts.join(' '));
    }
  }
  return `${lines.join('\n')}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
