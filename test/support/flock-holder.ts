import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { findTool } from './tools.ts';

/** Another program that has the flock(2) lock of a file. */
export class FlockHolder {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** `seconds`: how long it keeps the lock; until `end` where that is not given. */
  static async start(file: string, seconds?: number): Promise<FlockHolder> {
    const keep = seconds === undefined ? 'read line' : `sleep ${seconds}`;
    const child = spawn(findTool('flock')!, ['-n', file, 'sh', '-c', `echo locked; ${keep}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [text] = (await once(child.stdout!, 'data')) as [Buffer];
    if (text.toString() !== 'locked\n') throw new Error(`flock says ${text.toString()}`);
    return new FlockHolder(child);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.stdin!.end();
    await once(this.#child, 'exit');
  }
}
