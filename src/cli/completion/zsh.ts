import type { OptionSpec } from '../getopt.ts';
import type { CompletedCommand } from './commands.ts';
import { DEVICE_NAMES, TAKES_NAMES, TAKES_PATHS } from './devices.ts';

/** For a file `_userloop` on zsh's fpath, or `eval "$(userloop completion zsh)"`. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const described = commands.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}`);
  const cases = commands.map(({ name, options }) => {
    const specs = options.flatMap(argumentSpecs).map((spec) => `        ${quote(spec)} \\\n`);
    const operands = [...TAKES_NAMES, ...TAKES_PATHS].includes(name)
      ? `*:device: _userloop_operands${TAKES_PATHS.includes(name) ? ' /dev/' : ''}`
      : '*:file:_files';
    return `      ${name})\n        _arguments -s -S \\\n${specs.join('')}        '${operands}' ;;`;
  });
  return `#compdef userloop
_userloop_operands() {
  local -a devices
  devices=(\${(f)"$(${DEVICE_NAMES})"})
  (( $#devices )) && compadd -- "$1"$^devices
  _files
}
_userloop() {
  local -a commands
  commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands 'userloop command' commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _userloop ]]; then
  _userloop "$@"
else
  compdef _userloop userloop
fi
`;
}

/** `_arguments` specifications: `-o+[text]:OFFSET:_files` may be glued or not, `--mbr=-[text]::` must be glued. */
function argumentSpecs({ short, long, argument, argumentName, description }: OptionSpec): string[] {
  const text = `[${description.replaceAll(/[[\]\\]/g, '\\$&')}]`;
  const value = (argumentName ?? 'VALUE').replaceAll(':', '\\:');
  const tail = argument === undefined ? '' : argument === 'required' ? `:${value}:_files` : `::${value}:`;
  const glue = argument === undefined ? ['', ''] : argument === 'required' ? ['+', '='] : ['-', '=-'];
  const specs: string[] = [];
  if (short !== undefined) specs.push(`-${short}${glue[0]}${text}${tail}`);
  if (long !== undefined) specs.push(`--${long}${glue[1]}${text}${tail}`);
  return specs;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
