/** Somebody who types at random into a tool that asks, and looks at what is asked only as far as it takes to get somewhere. */

export interface TypistOptions {
  readonly seed: number;
  /** Commands until `w`. */
  readonly commandCount: number;
  /** Sectors of the disk: answers are chosen within and a little beyond. */
  readonly sectorCount: number;
  /** The letters of the main menu and of the expert menu, often ones more than once. */
  readonly main: string;
  readonly expert: string;
  /** What is typed first of all. */
  readonly beginning?: readonly string[];
  /** What is typed at the end, in the main menu, before `w`. */
  readonly ending?: readonly string[];
}

/** Multiplies, adds, and takes the upper bits: the same seed gives the same numbers everywhere. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e37_79b1) >>> 0;
  }

  below(count: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * count);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

const GUIDS = ['11111111-2222-3333-4444-555555555555', 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', 'bad', ''];
const DOS_TYPES = [
  '83',
  'c',
  '7',
  '82',
  'lvm',
  'ff',
  '5',
  'f',
  '85',
  'a5',
  'a6',
  'a9',
  '0',
  '00',
  'zz',
  '1ff',
  'uefi',
  'L',
  '',
  'swap',
  'Linux',
  '0x83',
  'linux',
];
const GPT_TYPES = [
  '1',
  '19',
  '20',
  '200',
  '201',
  '0',
  'lvm',
  'uefi',
  'nonsense',
  'L',
  '',
  'swap',
  '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
  '12345678-1234-1234-1234-123456789abc',
  'U',
  'H',
  '-1',
];
const BSD_TYPES = ['7', '1', '0', '8', '10', 'a', 'ff', 'zz', 'L', '', 'swap', '1ff'];

/** What is typed is kept, to be typed into another tool. */
export class Typist {
  /** What was typed so far. */
  keys = '';
  readonly #options: TypistOptions;
  readonly #dice: Dice;
  #left: number;
  readonly #beginning: string[];
  readonly #ending: string[];
  /** Times that the same question was answered: somebody who never hits it would go on for ever. */
  #again = 0;
  #lastPrompt = '';
  /** Nobody types any more. */
  #gone = false;

  constructor(options: TypistOptions) {
    this.#options = options;
    this.#dice = new Dice(options.seed);
    this.#left = options.commandCount;
    this.#beginning = [...(options.beginning ?? [])];
    this.#ending = [...(options.ending ?? ['p', 'v', 'F', 'w'])];
  }

  /** A line for a tool that has printed this; undefined when there is no more. */
  answer(output: string): string | undefined {
    const prompt = output.slice(output.lastIndexOf('\n') + 1);
    this.#again = prompt === this.#lastPrompt ? this.#again + 1 : 0;
    this.#lastPrompt = prompt;
    const line = this.#gone ? undefined : (this.#beginning.shift() ?? this.#line(prompt));
    this.#gone = line === undefined;
    if (line !== undefined) this.keys += `${line}\n`;
    return line;
  }

  #line(prompt: string): string | undefined {
    const dice = this.#dice;
    if (prompt.endsWith('ommand (m for help): ')) return this.#command(prompt);
    // Nobody was let in: an empty line, or the end of it.
    if (this.#again > 4) return dice.below(8) === 0 ? undefined : this.#number(prompt, true);
    if (dice.below(400) === 0) return undefined;
    if (prompt.includes('[Y]es/[N]o')) return dice.pick(['y', 'Y', 'yes', 'n', 'x', '']);
    if (prompt.startsWith('Select ('))
      return dice.pick(['', '', 'p', 'p', 'e', 'l', 'l', 'E', 'x', 'primary']);
    if (prompt.startsWith('Hex code (type')) return dice.pick(BSD_TYPES);
    if (prompt.startsWith('Hex code')) return dice.pick(DOS_TYPES);
    if (prompt.startsWith('Partition type')) return dice.pick(GPT_TYPES);
    if (prompt.includes('UUID')) return dice.pick(GUIDS);
    if (prompt.includes('disk identifier'))
      return dice.pick(['0x1234', '77', 'bad', '', '0x123456789', '-1', '010', '0xdeadbeef']);
    if (prompt.startsWith('New name'))
      return dice.pick([
        'name',
        'n\u00e4me',
        '',
        'a name that is longer than the field can hold it',
        ' blank',
      ]);
    if (prompt.startsWith('Enter script')) return dice.pick(['script', 'absent', 'folder']);
    return this.#number(prompt, false);
  }

  #command(prompt: string): string | undefined {
    const dice = this.#dice;
    const expert = prompt.startsWith('Expert');
    if (this.#left-- > 0) {
      if (dice.below(expert ? 6 : 12) === 0) return expert ? 'r' : 'x';
      return dice.pick((expert ? this.#options.expert : this.#options.main).split(''));
    }
    const last = -this.#left - 1;
    if (this.#ending.length > 0 && last < 12) {
      if (expert && last === 0) return 'r';
      return this.#ending.shift();
    }
    if (expert) return ['p', 'r', 'w', 'M', 'r'][last % 5];
    return ['w', 'r', 'q'][last % 3];
  }

  /** An answer to `… (LOW-HIGH, default N): `, in range where `tame`. */
  #number(prompt: string, tame: boolean): string {
    const dice = this.#dice;
    const [, low = '1', high = '4'] = /(\d+)[-,\d]*?(\d*)(?:, default|\))/.exec(prompt) ?? [];
    const [from, to] = [Number(low), Number(high === '' ? low : high)];
    const within = from + dice.below(Math.max(1, to - from + 1));
    const near = String(from + dice.below(Math.max(1, Math.floor((to - from) / 20))));
    if (
      /[a-p]-?/.test(prompt.slice(prompt.indexOf('(')).replace(/default /, '')) &&
      !prompt.includes('sector')
    ) {
      return dice.pick(['', '', 'a', 'b', 'c', 'd', 'e', 'h', 'p', 'q', '1', '3', 'B']);
    }
    if (tame) return dice.pick(['', String(within), low]);
    const offset = prompt.includes('size{');
    return dice.pick([
      '',
      '',
      '',
      '',
      low,
      high,
      String(within),
      String(within),
      near,
      near,
      String(to + 1),
      String(from - 1),
      '0',
      'x',
      '-',
      '00',
      String(2048 * dice.below(Math.ceil(this.#options.sectorCount / 2048) + 1)),
      ...(offset
        ? [
            '+1M',
            '+1M',
            '+3M',
            '+10M',
            '+100',
            '+1K',
            '+5MB',
            '-1M',
            '-5',
            '+2.5M',
            '+700K',
            '+0',
            '+',
            '+z',
            '+1G',
            '+1T',
            '1M',
            '+511',
            '+1s',
            '+50%',
            '0x1000',
            '+0x100',
            ' +2M',
            '+2M ',
            '+5 M',
            '-0',
            '+1MiB',
            '+999999999999999999999',
            '+16E',
          ]
        : []),
      '1 ',
      ' 2',
      '5',
      '6',
      '1-2',
      '1,2',
      '99999999999999999999999',
    ]);
  }
}
