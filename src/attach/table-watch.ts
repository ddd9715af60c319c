import { ShareWord } from '../host/share-layout.ts';

/** Signature of Atomics.waitAsync (ES2024). */
interface AsyncWait {
  waitAsync(words: Int32Array, index: number, value: number): { readonly value: Promise<string> | string };
}

/** How long names that could not follow the table wait for the next attempt. */
const RETRY_MILLISECONDS = 1000;

export interface TableWatchOptions {
  /** Of the share: which change of the partition table there was last, and up to which one the names have followed. */
  readonly words: Int32Array;
  /** Makes the names those of the table. */
  readonly publish: () => void;
  /** Told why they could not be. */
  readonly failed: (error: unknown) => void;
}

/** Has the names of a device follow its partition table, and tells those who wait for that. */
export class TableWatch {
  readonly #options: TableWatchOptions;
  #isOver = false;

  constructor(options: TableWatchOptions) {
    this.#options = options;
  }

  /** Now; throws when they cannot be. */
  publish(): void {
    const { words, publish } = this.#options;
    const generation = Atomics.load(words, ShareWord.tableGeneration);
    publish();
    this.#setPublished(generation);
  }

  /** From now on, until `stop`. */
  async watch(): Promise<void> {
    const { words } = this.#options;
    while (!this.#isOver) {
      const published = Atomics.load(words, ShareWord.publishedGeneration);
      const { value } = (Atomics as unknown as AsyncWait).waitAsync(
        words,
        ShareWord.tableGeneration,
        published,
      );
      await value;
      this.#follow();
    }
  }

  stop(): void {
    this.#isOver = true;
    Atomics.notify(this.#options.words, ShareWord.tableGeneration);
  }

  /**
   * The names are in a folder whose disk may be full, and the table is on one that may fail: the device is there all the same, and the names follow
   * when they can. Nobody waits for that.
   */
  #follow(): void {
    if (this.#isOver) return;
    const generation = Atomics.load(this.#options.words, ShareWord.tableGeneration);
    try {
      this.publish();
    } catch (error) {
      this.#options.failed(error);
      this.#setPublished(generation);
      setTimeout(() => this.#follow(), RETRY_MILLISECONDS);
    }
  }

  #setPublished(generation: number): void {
    const { words } = this.#options;
    Atomics.store(words, ShareWord.publishedGeneration, generation);
    Atomics.notify(words, ShareWord.publishedGeneration);
  }
}
