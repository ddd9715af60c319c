import type { ResizeStep } from '../../../filesystem/ext/resize/write-plan.ts';
import type { Io } from '../../io.ts';

const WIDTH = 40;
const LABEL_WIDTH = 30;

const PASSES: Readonly<Record<ResizeStep['name'], readonly [number, string]>> = {
  'new tables': [1, 'Extending the inode table'],
  relocation: [2, 'Relocating blocks'],
  scan: [3, 'Scanning inode table'],
  references: [4, 'Updating inode references'],
  tables: [5, 'Moving inode table'],
};

/** The bars of -p: a line of dashes, over which an X is put for every fortieth part. */
export class ProgressBars {
  readonly #io: Io;
  #step: ResizeStep | undefined;
  #drawn = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /** `share` of the step that is done, from 0 to 1. */
  show(step: ResizeStep, share: number): void {
    if (this.#step !== step) {
      const [pass, label] = PASSES[step.name];
      this.#io.stdout.write(
        `Begin pass ${pass} (max = ${step.total})\n${label.padEnd(LABEL_WIDTH)}${'-'.repeat(WIDTH)}${'\b'.repeat(WIDTH)}`,
      );
      this.#step = step;
      this.#drawn = 0;
    }
    const wanted = Math.floor(share * WIDTH);
    if (wanted > this.#drawn) this.#io.stdout.write('X'.repeat(wanted - this.#drawn));
    this.#drawn = wanted;
    if (share < 1) return;
    this.#io.stdout.write('\n');
    this.#step = undefined;
  }
}
