/** How the user's own shell shows that it is in here, after its own start-up files have had their say. */

/** bash --rcfile */
export const BASH_START = `
if [ -r /etc/bash.bashrc ]; then . /etc/bash.bashrc; fi
if [ -r ~/.bashrc ]; then . ~/.bashrc; fi
PATH=$USERLOOP_SHELL_PATH
PS1="(userloop) $PS1"
`.trimStart();

/** $ZDOTDIR/.zshenv: the user's own, as if from its own place. */
export const ZSH_ENVIRONMENT = `
ZDOTDIR=\${USERLOOP_ZDOTDIR:-$HOME}
[ -r "$ZDOTDIR/.zshenv" ] && . "$ZDOTDIR/.zshenv"
USERLOOP_ZDOTDIR=$ZDOTDIR
ZDOTDIR=/dev/.userloop/zsh
`.trimStart();

/** $ZDOTDIR/.zshrc */
export const ZSH_START = `
ZDOTDIR=$USERLOOP_ZDOTDIR
[ -r "$ZDOTDIR/.zshrc" ] && . "$ZDOTDIR/.zshrc"
PATH=$USERLOOP_SHELL_PATH
PS1="(userloop) $PS1"
`.trimStart();

/** fish --init-command, which runs after config.fish. */
const FISH_START = `
set -gx PATH (string split : $USERLOOP_SHELL_PATH)
functions --copy fish_prompt userloop_own_prompt
function fish_prompt; echo -n '(userloop) '; userloop_own_prompt; end
`.trim();

/** The command line that starts the shell, and what its environment needs. */
export function promptingShell(
  shell: string,
  env: Readonly<Record<string, string | undefined>>,
): { readonly command: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  switch (shell.slice(shell.lastIndexOf('/') + 1)) {
    case 'bash':
      return { command: [shell, '--rcfile', '/dev/.userloop/bashrc'], env: {} };
    case 'zsh': {
      const own = env['ZDOTDIR'];
      return {
        command: [shell],
        env: { ZDOTDIR: '/dev/.userloop/zsh', ...(own === undefined ? {} : { USERLOOP_ZDOTDIR: own }) },
      };
    }
    case 'fish':
      return { command: [shell, '--init-command', FISH_START], env: {} };
    default:
      // What POSIX says of PS1; root has "# ".
      return { command: [shell], env: { PS1: '(userloop) # ' } };
  }
}
