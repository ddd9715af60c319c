import fs from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';
import { canUseKernelLoops } from '../../src/attach/backend-choice.ts';
import { kernelLoopBackend } from '../../src/attach/kernel-loop.ts';
import { loopUnits } from '../../src/attach/kernel-loop-state.ts';
import { hasCode } from '../../src/errors.ts';
import { nativeLoopOperations } from '../../src/host/native-loop.ts';
import { findTool } from './tools.ts';

/** A `describe` block that needs root, the kernel's loop driver and these programs. Absent rights are no absent judge: it is skipped then, also under CI. */
export function describeWithKernelLoops(tools: readonly string[], name: string, body: () => void): void {
  const possible = canUseKernelLoops() && tools.every((tool) => findTool(tool) !== undefined);
  describe.skipIf(!possible)(
    `${name} [root, loop devices${tools.map((tool) => `, ${tool}`).join('')}]`,
    body,
  );
}

const UNITS_AT_START = new Set(loopUnits());

/** Detaches whatever has its image in the folder, and removes the units that the test made: for after each test, however it went. */
export async function detachKernelLoopsOf(folder: string): Promise<void> {
  for (const state of kernelLoopBackend.list()) {
    if (path.dirname(state.image) === fs.realpathSync(folder)) {
      await kernelLoopBackend.detach(state, { force: true });
    }
  }
  for (const unit of loopUnits()) {
    if (UNITS_AT_START.has(unit)) continue;
    const control = fs.openSync('/dev/loop-control', 'r+');
    try {
      nativeLoopOperations()?.remove(control, unit);
    } catch (error) {
      // Somebody else uses it by now.
      if (!hasCode(error, 'EBUSY') && !hasCode(error, 'ENODEV')) throw error;
    } finally {
      fs.closeSync(control);
    }
  }
}
