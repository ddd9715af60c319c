import fs from 'node:fs';
import path from 'node:path';
import { chooseBackend, type Backend } from '../../../attach/backend.ts';
import type { BackendKind } from '../../../attach/device-state.ts';
import type { Io } from '../../io.ts';
import { DMESG_HINT } from './mount-failure.ts';

/** What every part of mount and umount needs to know. */
export class MountContext {
  readonly io: Io;
  /** `mount`, `umount`: what messages start with. */
  readonly program: string;
  readonly verbose: boolean;
  readonly fake: boolean;
  readonly canonicalize: boolean;
  readonly #choice: BackendKind | 'auto' | undefined;
  #backend: Backend | undefined;

  constructor(
    io: Io,
    settings: {
      readonly program: string;
      readonly verbose: boolean;
      readonly fake: boolean;
      readonly canonicalize: boolean;
      readonly backend?: BackendKind | 'auto' | undefined;
    },
  ) {
    this.io = io;
    this.program = settings.program;
    this.verbose = settings.verbose;
    this.fake = settings.fake;
    this.canonicalize = settings.canonicalize;
    this.#choice = settings.backend;
  }

  /** The same without the lines of `-v`. */
  quiet(): MountContext {
    return new MountContext(this.io, {
      program: this.program,
      verbose: false,
      fake: this.fake,
      canonicalize: this.canonicalize,
      backend: this.#choice,
    });
  }

  get backend(): Backend {
    return (this.#backend ??= chooseBackend(this.io.env, this.#choice));
  }

  /** The kernel's log says more only where the kernel was asked. */
  get hints(): readonly string[] {
    return this.backend.kind === 'kernel' ? [DMESG_HINT] : [];
  }

  /** Root, also that of a user namespace. */
  get isSuperuser(): boolean {
    return process.geteuid?.() === 0;
  }

  /** The path as the mount table has it: absolute, without symlinks as far as it is there. */
  canonical(name: string): string {
    const absolute = path.resolve(this.io.cwd, name);
    if (!this.canonicalize) return absolute;
    return (
      realPath(absolute) ??
      path.join(realPath(path.dirname(absolute)) ?? path.dirname(absolute), path.basename(absolute))
    );
  }

  say(text: string): void {
    if (this.verbose) this.io.stdout.write(`${this.program}: ${text}\n`);
  }

  warn(text: string): void {
    this.io.stderr.write(`${this.program}: ${text}\n`);
  }
}

/** Undefined for what is not there, and for a mount whose server has died. */
function realPath(absolute: string): string | undefined {
  try {
    return fs.realpathSync(absolute);
  } catch {
    return undefined;
  }
}
