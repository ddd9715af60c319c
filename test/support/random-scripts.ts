import type { SfdiskCall } from './sfdisk-runs.ts';

/** Numbers that look random; the same seed gives the same ones. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e37_79b1) >>> 0;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

const IDENTIFIER = '11111111-2222-3333-4444-5555555555';

/** Scripts and calls as somebody makes them who knows what there is and does not look what there is room for. */
export class RandomCalls {
  readonly #dice: Dice;
  readonly #sectorCount: number;
  readonly #gpt: boolean;
  #serial = 10;

  constructor(seed: number, sectorCount: number) {
    this.#dice = new Dice(seed);
    this.#sectorCount = sectorCount;
    this.#gpt = seed % 2 === 1;
  }

  /** A whole table. */
  script(): SfdiskCall {
    const dice = this.#dice;
    const headers = [this.#gpt ? 'label: gpt' : 'label: dos'];
    if (this.#gpt) headers.push(`label-id: ${IDENTIFIER}99`);
    else headers.push('label-id: 0x12345678');
    if (dice.below(8) === 0) headers.push(`grain: ${dice.pick(['4096', '64K', '512', '1M', '3M'])}`);
    if (this.#gpt && dice.below(8) === 0)
      headers.push(`table-length: ${dice.pick(['4', '64', '128', '200'])}`);
    if (this.#gpt && dice.below(8) === 0)
      headers.push(`first-lba: ${dice.pick(['34', '40', '4096', '100'])}`);
    if (dice.below(10) === 0) headers.push('sector-size: 4096');
    return {
      args: dice.below(5) === 0 ? ['-q'] : [],
      script: `${headers.join('\n')}\n${this.#lines(1 + dice.below(9))}`,
    };
  }

  /** Something done to a table that is there. */
  change(): SfdiskCall {
    const dice = this.#dice;
    const number = String(1 + dice.below(dice.below(3) === 0 ? 9 : 5));
    switch (dice.below(9)) {
      case 0:
        return { args: ['--append'], script: this.#lines(1 + dice.below(3)) };
      case 1:
        return { args: ['--delete', 'disk.img', number] };
      case 2:
        return { args: ['--reorder'] };
      case 3:
        return { args: ['-A', 'disk.img', number] };
      case 4:
        return { args: ['--part-type', 'disk.img', number, this.#type()] };
      case 5:
        return { args: ['--relocate', dice.pick(['gpt-bak-std', 'gpt-bak-mini'])] };
      default:
        return { args: ['-N', number], script: `${this.#changes()}\n` };
    }
  }

  #lines(count: number): string {
    return Array.from({ length: count }, () => `${this.#line()}\n`).join('');
  }

  #line(): string {
    const dice = this.#dice;
    if (dice.below(25) === 0) return dice.pick(['', '# nothing', 'print', 'nonsense', 'write', 'quit']);
    if (this.#gpt || dice.below(3) === 0) return this.#named();
    const fields = [this.#start(), this.#size(), this.#type(), dice.pick(['', '', '', '*', '-'])];
    return fields.slice(0, 2 + dice.below(3)).join(dice.pick([',', ', ', ' ; ']));
  }

  #named(): string {
    const dice = this.#dice;
    const fields: string[] = [];
    const start = this.#start();
    const size = this.#size();
    if (start !== '') fields.push(`start=${start}`);
    if (size !== '') fields.push(`size=${size}`);
    if (dice.below(2) === 0) fields.push(`type="${this.#type()}"`);
    if (this.#gpt) fields.push(`uuid=${IDENTIFIER}${this.#serial++}`);
    if (this.#gpt && dice.below(3) === 0) fields.push(`name="part ${this.#serial}"`);
    if (this.#gpt && dice.below(5) === 0)
      fields.push(`attrs="${dice.pick(['RequiredPartition', '50 51', '2', 'zz'])}"`);
    if (!this.#gpt && dice.below(4) === 0) fields.push('bootable');
    if (fields.length === 0) fields.push('size=+');
    const node = dice.below(6) === 0 ? `disk.img${1 + dice.below(8)} : ` : '';
    return node + fields.join(dice.pick([',', ', ', ' ']));
  }

  /** For a partition that is there. */
  #changes(): string {
    const dice = this.#dice;
    const amount = (): string => dice.pick(['1M', '3M', '100', '2048', '1K', '700K']);
    const start = dice.pick(['', '', '', '-', `+${amount()}`, `-${amount()}`, '+', this.#sector()]);
    const size = dice.pick(['', '', `+${amount()}`, `-${amount()}`, '+', amount(), this.#sector()]);
    return `${start},${size},${dice.pick(['', '', this.#type()])}`;
  }

  #sector(): string {
    const dice = this.#dice;
    const grains = Math.max(1, Math.floor(this.#sectorCount / 2048));
    return String(dice.below(3) === 0 ? dice.below(this.#sectorCount) : 2048 * (1 + dice.below(grains)));
  }

  #start(): string {
    const dice = this.#dice;
    return dice.pick([
      '',
      '',
      '',
      '',
      '-',
      '+',
      '1M',
      '2048',
      this.#sector(),
      this.#sector(),
      String(dice.below(3000)),
    ]);
  }

  #size(): string {
    const dice = this.#dice;
    return dice.pick([
      '',
      '1M',
      '2M',
      '3M',
      '10M',
      '+',
      '5MB',
      '2.5M',
      '100',
      '1K',
      '700K',
      '-',
      '1',
      String(dice.below(20_000)),
      String(dice.below(this.#sectorCount)),
    ]);
  }

  #type(): string {
    const { pick } = { pick: <T>(choices: readonly T[]): T => this.#dice.pick(choices) };
    return this.#gpt
      ? pick(['L', 'S', 'uefi', 'home', 'Linux RAID', 'L', 'L', 'zz'])
      : pick(['L', 'S', 'E', 'Ex', '83', 'c', 'E', 'f', 'linux', 'uefi', 'zz', '85']);
  }
}
