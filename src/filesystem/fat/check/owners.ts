const CHUNK = 1 << 14;

/** Which file has a cluster: a number a cluster, in chunks that come into being when a cluster of them is claimed. */
export class ClusterOwners {
  readonly #chunks: (Uint32Array | undefined)[] = [];

  /** 0: nobody. */
  get(cluster: number): number {
    return this.#chunks[Math.floor(cluster / CHUNK)]?.[cluster % CHUNK] ?? 0;
  }

  set(cluster: number, owner: number): void {
    const index = Math.floor(cluster / CHUNK);
    let chunk = this.#chunks[index];
    if (chunk === undefined) {
      if (owner === 0) return;
      chunk = new Uint32Array(CHUNK);
      this.#chunks[index] = chunk;
    }
    chunk[cluster % CHUNK] = owner;
  }
}
