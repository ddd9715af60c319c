import type { CompletedCommand } from './commands.ts';
import { DEVICE_NAMES, TAKES_NAMES, TAKES_PATHS } from './devices.ts';

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
  lines.push(
    `function __userloop_devices; ${DEVICE_NAMES}; end`,
    `complete -c userloop -n ${quote(`__fish_seen_subcommand_from ${TAKES_NAMES.join(' ')}`)} -a '(__userloop_devices)'`,
    `complete -c userloop -n ${quote(`__fish_seen_subcommand_from ${TAKES_PATHS.join(' ')}`)} -a '/dev/(__userloop_devices)'`,
  );
  return `${lines.join('\n')}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
