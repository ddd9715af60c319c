import { FsError } from '../errors.ts';
import { writeJson } from './device-folder.ts';
import type { DeviceState } from './device-state.ts';

/** How long a file that could not be written waits for the next attempt. */
const RETRY_MILLISECONDS = 1000;

/** What is known of a device, in its process, and the file in its folder from which others know it. */
export class DeviceRecord {
  readonly #folder: string;
  readonly #failed: (error: unknown) => void;
  #state: DeviceState;
  #isSaved = false;
  /** Others know of the device. */
  #isKnown = false;
  #retry: NodeJS.Timeout | undefined;

  /** `failed` is told why the file could not be written. */
  constructor(folder: string, state: DeviceState, failed: (error: unknown) => void) {
    this.#folder = folder;
    this.#state = state;
    this.#failed = failed;
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** Others hear of it with the next `save`. */
  change(change: Partial<DeviceState>): void {
    this.#state = { ...this.#state, ...change };
    this.#isSaved = false;
  }

  /**
   * Writes the file if it is not up to date. Throws when it cannot be written for the first time. Later the disk that holds it may be full, for one: the
   * device works all the same, and others hear of the change as soon as there is room.
   */
  save(change?: Partial<DeviceState>): void {
    if (change !== undefined) this.change(change);
    if (this.#isSaved) return;
    try {
      this.#write();
    } catch (error) {
      if (!this.#isKnown) throw error;
      this.#failed(error);
      this.#retry ??= setInterval(() => this.#tryAgain(), RETRY_MILLISECONDS);
    }
  }

  /** The folder is about to go. */
  close(): void {
    clearInterval(this.#retry);
    this.#retry = undefined;
    this.#isSaved = true;
  }

  #tryAgain(): void {
    try {
      if (!this.#isSaved) this.#write();
    } catch (error) {
      if (error instanceof FsError || (error instanceof Error && 'code' in error)) return;
      throw error;
    }
    clearInterval(this.#retry);
    this.#retry = undefined;
  }

  #write(): void {
    writeJson(`${this.#folder}/state.json`, this.#state);
    this.#isSaved = true;
    this.#isKnown = true;
  }
}
