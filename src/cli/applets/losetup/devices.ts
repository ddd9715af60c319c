import fs from 'node:fs';
import path from 'node:path';
import {
  type Backend,
  type BackendChoice,
  chooseBackend,
  parseBackendChoice,
  userBackend,
} from '../../../attach/backend.ts';
import type { AttachRequest, BackendKind, DeviceState } from '../../../attach/device-state.ts';
import { kernelLoopBackend } from '../../../attach/kernel-loop.ts';
import { kernelLoopState, kernelUnitOf } from '../../../attach/kernel-loop-state.ts';
import { publishFolder } from '../../../attach/publish.ts';
import { findDevice, runtimePath, splitName, viewPath } from '../../../attach/registry.ts';
import type { Io } from '../../io.ts';

/** A loop device that a command line names; there need be nothing attached to it. */
export interface NamedDevice {
  readonly kind: BackendKind;
  readonly unit: number;
  /** For messages: what was typed, except where programs know the device by another path. */
  readonly path: string;
  /** Undefined: nothing is attached. */
  readonly state: DeviceState | undefined;
}

/** The loop devices of one backend or, for `auto`, of both: ours are this user's. */
export class LoopDevices {
  readonly #io: Io;
  readonly #choice: BackendChoice;

  constructor(io: Io, choice: BackendChoice | undefined) {
    this.#io = io;
    this.#choice = choice ?? parseBackendChoice(io.env['USERLOOP_BACKEND'] ?? 'auto', 'USERLOOP_BACKEND');
  }

  /** The backend for what is to be attached. */
  get preferred(): Backend {
    return chooseBackend(this.#io.env, this.#choice);
  }

  attach(request: AttachRequest): Promise<DeviceState> {
    return this.preferred.attach(request);
  }

  backend(kind: BackendKind): Backend {
    return kind === 'kernel' ? kernelLoopBackend : userBackend(this.#io.env);
  }

  /** What is attached, the kernel's devices first, each by its number. */
  list(): DeviceState[] {
    const kernel = this.#choice === 'user' ? [] : kernelLoopBackend.list();
    const own = this.#choice === 'kernel' ? [] : userBackend(this.#io.env).list();
    return [...kernel, ...own.filter(({ family }) => family === 'loop')];
  }

  /**
   * The device of that name, in whatever way it is written; undefined where it cannot be one. Where the kernel and we both know the
   * name, the one that is attached is meant, and of two that are the one of the preferred backend.
   */
  find(name: string): NamedDevice | undefined {
    const kernel = this.#choice === 'user' ? undefined : this.#kernelDevice(name);
    const there = kernel !== undefined && fs.existsSync(`/dev/loop${kernel.unit}`);
    const own = this.#choice === 'kernel' ? undefined : this.#ownDevice(name);
    if (!there || own === undefined) return there ? kernel : own;
    if ((kernel.state === undefined) !== (own.state === undefined)) {
      return kernel.state === undefined ? own : kernel;
    }
    return this.preferred.kind === 'kernel' ? kernel : own;
  }

  /** As `find`, for what is to be attached there: a device of the preferred backend. */
  findForSetUp(name: string): NamedDevice | undefined {
    return this.preferred.kind === 'kernel' ? this.#kernelDevice(name) : this.#ownDevice(name);
  }

  /** The path of a device of the preferred backend that need not be attached. */
  pathOf(unit: number): string {
    if (this.preferred.kind === 'kernel') return `/dev/loop${unit}`;
    return `${publishFolder(this.#io.env, runtimePath(this.#io.env))}/loop${unit}`;
  }

  #kernelDevice(name: string): NamedDevice | undefined {
    const file = path.resolve(this.#io.cwd, name);
    const unit = kernelUnitOf(file) ?? kernelUnitOf(`/dev/${name}`);
    if (unit === undefined) return undefined;
    return {
      kind: 'kernel',
      unit,
      path: fs.existsSync(file) || name.includes('/') ? name : `/dev/${name}`,
      state: kernelLoopState(unit),
    };
  }

  #ownDevice(name: string): NamedDevice | undefined {
    const { cwd, env } = this.#io;
    const found = findDevice(env, cwd, name);
    if (found !== undefined) {
      if (found.state.family !== 'loop' || found.view.partition !== undefined) return undefined;
      return { kind: 'user', unit: found.state.unit, path: viewPath(found.state), state: found.state };
    }
    const folder = name.includes('/') ? path.dirname(path.resolve(cwd, name)) : '/dev';
    if (folder !== '/dev' && folder !== publishFolder(env, runtimePath(env))) return undefined;
    const split = splitName(path.basename(name));
    return split?.family === 'loop'
      ? { kind: 'user', unit: split.unit, path: name, state: undefined }
      : undefined;
  }
}
