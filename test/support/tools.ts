import type { SpawnSyncOptions } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe } from 'vitest';
import { newFolder } from './new-folder.ts';
import { execFileSync, spawnSync } from './programs.ts';

/**
 * The reference tools are the judges. Where one is absent its tests are skipped and counted; under CI=true that is a
 * failure, because a judge that did not look has said nothing.
 */

const SEARCH_PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/local/sbin`;

export function findTool(name: string): string | undefined {
  return SEARCH_PATH.split(':')
    .map((folder) => path.join(folder, name))
    .find((file) => fs.existsSync(file));
}

/** A `describe` block that needs these programs. */
export function describeWithTools(tools: readonly string[], name: string, body: () => void): void {
  const absent = tools.filter((tool) => findTool(tool) === undefined);
  if (absent.length > 0 && process.env['CI'] === 'true') {
    throw new Error(`Under CI these tools must be there: ${absent.join(', ')}`);
  }
  describe.skipIf(absent.length > 0)(`${name} [${tools.join(', ')}]`, body);
}

export interface ToolResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a reference tool to its end, in the C locale and in UTC. */
export function runTool(
  name: string,
  args: readonly string[],
  options: SpawnSyncOptions & { input?: string | Uint8Array } = {},
): ToolResult {
  const result = spawnSync(findTool(name) ?? name, args, {
    maxBuffer: 1 << 28,
    timeout: 300_000,
    killSignal: 'SIGKILL',
    ...options,
    env: { ...process.env, PATH: SEARCH_PATH, LC_ALL: 'C.UTF-8', TZ: 'UTC', ...options.env },
    encoding: 'utf8',
  });
  // A tool may end before it has read all that it was given.
  if (result.error !== undefined && (result.error as NodeJS.ErrnoException).code !== 'EPIPE')
    throw result.error;
  return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}

/** A fresh folder below that of the run (test/support/run-folder.ts), with which it goes. */
export function temporaryFolder(): string {
  return newFolder(path.join(process.env['USERLOOP_TEST_FOLDER'] ?? os.tmpdir(), 'test-'));
}

/**
 * Likewise, and in memory where there is room: for small images of which many are looked at. The reference tools have a disk write before they
 * end, which takes longer than all the rest.
 */
export function memoryFolder(): string {
  return newFolder(path.join(process.env['USERLOOP_TEST_MEMORY_FOLDER'] ?? os.tmpdir(), 'test-'));
}

/** First difference of two files that may be large and sparse: `undefined` when they are the same. */
export function firstDifference(a: string, b: string): string | undefined {
  try {
    execFileSync('cmp', [a, b], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return undefined;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `${stdout}${stderr}`.trim();
  }
}
