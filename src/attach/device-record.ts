import { writeJson } from './device-folder.ts';
import type { DeviceState } from './device-state.ts';

/** What is known of a device, in its process, and the file in its folder from which others know it. */
export class DeviceRecord {
  readonly #folder: string;
  #state: DeviceState;
  #isSaved = false;

  constructor(folder: string, state: DeviceState) {
    this.#folder = folder;
    this.#state = state;
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** Others hear of it with the next `save`. */
  change(change: Partial<DeviceState>): void {
    this.#state = { ...this.#state, ...change };
    this.#isSaved = false;
  }

  /** Writes the file if it is not up to date. */
  save(change?: Partial<DeviceState>): void {
    if (change !== undefined) this.change(change);
    if (this.#isSaved) return;
    writeJson(`${this.#folder}/state.json`, this.#state);
    this.#isSaved = true;
  }
}
