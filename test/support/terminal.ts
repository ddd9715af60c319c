import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { findTool } from './tools.ts';

/**
 * A terminal without echo, in Python, for which node has nothing: types the next line when the output ends in a prompt and nothing more comes, and
 * the end of input when there are no more lines.
 */
const TERMINAL = `
import os, pty, re, select, sys, termios
prompt = re.compile(sys.argv[1].encode())
lines = sys.argv[2].encode().split(b'\\n')[:-1]
pid, terminal = pty.fork()
if pid == 0:
    modes = termios.tcgetattr(0)
    modes[1] &= ~termios.ONLCR
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, modes)
    os.execvp(sys.argv[3], sys.argv[3:])
output = b''
seen = 0
while True:
    if not select.select([terminal], [], [], 120)[0]:
        os.kill(pid, 9)
        break
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    output += part
    match = prompt.search(output, seen)
    if match and match.end() == len(output):
        seen = len(output)
        os.write(terminal, lines.pop(0) + b'\\n' if lines else b'\\x04')
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(output)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128)
`;

export interface TerminalRun {
  /** A regular expression (of Python) for the end of the output at which a line is typed. */
  readonly prompt: string;
  /** What is typed, a line each. */
  readonly keys: string;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program at a terminal: its status, and all that it wrote there. */
export async function runAtTerminal(
  command: readonly string[],
  { prompt, keys, cwd, env = {} }: TerminalRun,
): Promise<{ readonly status: number; readonly output: string }> {
  const child = spawn(findTool('python3')!, ['-c', TERMINAL, prompt, keys, ...command], {
    cwd,
    env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', TERM: 'dumb', HOME: cwd, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  if (stderr !== '') throw new Error(stderr);
  return { status: status ?? 128, output };
}
