import { viewOf } from '../../../bytes/struct.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import type { CodePage } from '../code-page.ts';
import { LONG_NAME_ATTRIBUTES, LAST_LONG_ENTRY, SLOT_SIZE } from '../directory-entry.ts';
import { decodeLongSlot } from '../long-name.ts';
import { joinPath, shortNameOf } from './directory-reader.ts';

const MAX_LONG_SLOTS = 20;

/** Every file that was come across, by number, so that the owner of a cluster has a path: 12 bytes each. */
export class CheckedFiles {
  readonly #device: BlockDevice;
  readonly #codePage: CodePage;
  #offsets = new Float64Array(1024);
  #parents = new Uint32Array(1024);
  #count = 1;

  constructor(device: BlockDevice, codePage: CodePage) {
    this.#device = device;
    this.#codePage = codePage;
  }

  /** `offset` of its slot, bytes; -1 for the root. `parent` is the number of the directory, 0 for the root itself. */
  add(offset: number, parent: number): number {
    if (this.#count === this.#offsets.length) {
      const offsets = new Float64Array(this.#count * 2);
      offsets.set(this.#offsets);
      this.#offsets = offsets;
      const parents = new Uint32Array(this.#count * 2);
      parents.set(this.#parents);
      this.#parents = parents;
    }
    this.#offsets[this.#count] = offset;
    this.#parents[this.#count] = parent;
    return this.#count++;
  }

  offsetOf(file: number): number {
    return this.#offsets[file]!;
  }

  pathOf(file: number): string {
    const names: string[] = [];
    for (let at = file; this.#offsets[at]! >= 0; at = this.#parents[at]!)
      names.push(this.#nameAt(this.#offsets[at]!));
    return names.length === 0 ? '/' : names.reverse().reduce((path, name) => joinPath(path, name), '/');
  }

  /** The slots of a long name lie before the short entry, as long as they are in the same cluster. */
  #nameAt(offset: number): string {
    const count = Math.min(MAX_LONG_SLOTS, Math.floor(offset / SLOT_SIZE));
    const bytes = new Uint8Array((count + 1) * SLOT_SIZE);
    this.#device.read(offset - count * SLOT_SIZE, bytes);
    const view = viewOf(bytes);
    let name = '';
    for (let slot = count - 1, number = 1; slot >= 0; slot--, number++) {
      const base = slot * SLOT_SIZE;
      if (bytes[base + 0x0b] !== LONG_NAME_ATTRIBUTES || (bytes[base]! & 0x1f) !== number) break;
      name += decodeLongSlot(view, base);
      if ((bytes[base]! & LAST_LONG_ENTRY) !== 0) return name;
    }
    return shortNameOf(bytes.subarray(count * SLOT_SIZE), this.#codePage);
  }
}
