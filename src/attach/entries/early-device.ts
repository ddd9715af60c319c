import type { ChildProcess } from 'node:child_process';
import { startDeviceProcess } from '../device-process-start.ts';
import { mayAttach } from '../early-device.ts';

/** What bin/userloop asks before it loads anything else: the process for a device that the command line is likely to want. */
export function startEarlyDevice(called: string, words: readonly string[]): ChildProcess | undefined {
  const [command, ...operands] = called.endsWith('losetup') ? ['losetup', ...words] : words;
  return mayAttach(command!, operands, process.env) ? startDeviceProcess(process.env) : undefined;
}
