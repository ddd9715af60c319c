import type { OptionSpec } from '../getopt.ts';
import type { CompletedCommand } from './commands.ts';
import { DEVICE_NAMES, TAKES_NAMES, TAKES_PATHS } from './devices.ts';

/** For `eval "$(userloop completion bash)"`. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const cases = commands
    .filter(({ options }) => options.length > 0)
    .map(({ name, options }) => `    ${name}) words='${options.flatMap(optionWords).join(' ')}' ;;`);
  return `# bash completion for userloop
_userloop_devices() { ${DEVICE_NAMES}; }
_userloop() {
  local current=\${COMP_WORDS[COMP_CWORD]} words='--help'
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=( $(compgen -W '${commands.map(({ name }) => name).join(' ')} --help --version' -- "$current") )
    return
  fi
  if [[ $current != -* ]]; then
    local IFS=$'\\n'
    compopt -o filenames
    COMPREPLY=( $(compgen -f -- "$current") )
    case \${COMP_WORDS[1]} in
    ${TAKES_NAMES.join('|')}) COMPREPLY+=( $(compgen -W "$(_userloop_devices)" -- "$current") ) ;;
    ${TAKES_PATHS.join('|')}) COMPREPLY+=( $(compgen -P /dev/ -W "$(_userloop_devices)" -- "\${current#/dev/}") ) ;;
    esac
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('\n')}
  esac
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
}
complete -F _userloop userloop
`;
}

/** `-o` and `--offset`; a long option that takes a value ends in `=` where it must be glued. */
function optionWords({ short, long, argument }: OptionSpec): string[] {
  const words: string[] = [];
  if (short !== undefined) words.push(`-${short}`);
  if (long !== undefined) words.push(`--${long}${argument === 'optional' ? '=' : ''}`);
  return words;
}
