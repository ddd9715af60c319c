/** Ranges that are listed of one bitmap. */
const MAX_LISTED = 2000;

/** As the tool lists them: ` +12 +(15--20) -30`. */
export class Differences {
  count = 0;
  /** In use, but free in the bitmap. */
  unmarked = 0;
  readonly #ranges: string[] = [];
  #sign = '';
  #start = 0;
  #end = -1;

  /** `first` is the number of the first bit, and each stands for `unit` of them: it is called by its first. */
  add(wanted: Uint8Array, stored: Uint8Array, bits: number, first: number, unit: number): void {
    for (let bit = 0; bit < bits; bit++) {
      const mask = 1 << (bit & 7);
      const isWanted = (wanted[bit >>> 3]! & mask) !== 0;
      if (isWanted === ((stored[bit >>> 3]! & mask) !== 0)) continue;
      this.count++;
      if (isWanted) this.unmarked++;
      const sign = isWanted ? '+' : '-';
      if (sign === this.#sign && first + bit * unit === this.#end + unit) {
        this.#end += unit;
        continue;
      }
      this.#flush();
      this.#sign = sign;
      this.#start = first + bit * unit;
      this.#end = first + bit * unit;
    }
  }

  text(): string {
    this.#flush();
    this.#end = -1;
    return this.#ranges.join('');
  }

  #flush(): void {
    if (this.#end < 0 || this.#ranges.length > MAX_LISTED) return;
    const range = this.#start === this.#end ? `${this.#start}` : `(${this.#start}--${this.#end})`;
    this.#ranges.push(` ${this.#sign}${range}`);
  }
}
