import fs from 'node:fs';

/** Between two looks at what is waited for. */
const STEP_MILLISECONDS = 10;

/** Waits until it holds; fails with `message` after two minutes: a machine may be busy with much else. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  message = 'It does not come true',
): Promise<void> {
  for (const end = performance.now() + 120_000; !(await condition());) {
    if (performance.now() > end) throw new Error(message);
    await new Promise((resolve) => setTimeout(resolve, STEP_MILLISECONDS));
  }
}

/** `__SO_ACCEPTCON` of linux/net.h, as the fourth column of /proc/net/unix has it. */
const ACCEPTS_CONNECTIONS = '00010000';

/** Whether somebody listens at the unix socket. Its file is there before that: it comes with bind(2). */
export function isListening(socket: string): boolean {
  return fs
    .readFileSync('/proc/net/unix', 'latin1')
    .split('\n')
    .some((line) => line.endsWith(` ${socket}`) && line.split(' ')[3] === ACCEPTS_CONNECTIONS);
}
