import type { TalliedDevice } from '../../../device/tallied-device.ts';

const KIB = 1024;
const MIB = 1 << 20;

/** What was used up to a moment: seconds, bytes. */
export class Usage {
  readonly #device: TalliedDevice;
  readonly #start = performance.now();
  readonly #processor = process.cpuUsage();
  readonly #bytesRead: number;
  readonly #bytesWritten: number;

  constructor(device: TalliedDevice) {
    this.#device = device;
    this.#bytesRead = device.bytesRead;
    this.#bytesWritten = device.bytesWritten;
  }

  /**
   * `Memory used: 132k/0k (38k/95k), time:  0.00/ 0.00/ 0.00`: memory of the heap and outside of it, how much of the heap is in use and is not; seconds that
   * passed, of the processor in the program and in the kernel.
   */
  memoryLine(): string {
    const { heapTotal, heapUsed, external } = process.memoryUsage();
    const memory = [heapTotal, external, heapUsed, heapTotal - heapUsed].map((bytes) =>
      Math.floor(bytes / KIB),
    );
    const { user, system } = process.cpuUsage(this.#processor);
    const times = [this.#seconds(), user / 1e6, system / 1e6].map((time) => time.toFixed(2).padStart(5));
    return `Memory used: ${memory[0]}k/${memory[1]}k (${memory[2]}k/${memory[3]}k), time: ${times.join('/')}\n`;
  }

  /** `I/O read: 1MB, write: 0MB, rate: 736.92MB/s`. */
  transferLine(): string {
    const read = this.#device.bytesRead - this.#bytesRead;
    const written = this.#device.bytesWritten - this.#bytesWritten;
    const rate = read === 0 ? 0 : Math.ceil(read / MIB) / Math.max(1e-6, this.#seconds());
    return `I/O read: ${Math.ceil(read / MIB)}MB, write: ${Math.ceil(written / MIB)}MB, rate: ${rate.toFixed(2)}MB/s\n`;
  }

  #seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }
}

/** Tells what each pass has used, as `-tt` has it, and what all have. */
export class Times {
  readonly #device: TalliedDevice;
  readonly #tell: (text: string) => void;
  readonly #isEachPass: boolean;
  readonly #all: Usage;
  readonly #passes = new Map<string, Usage>();

  constructor(device: TalliedDevice, level: number, tell: (text: string) => void) {
    this.#device = device;
    this.#tell = tell;
    this.#isEachPass = level > 1;
    this.#all = new Usage(device);
  }

  begin(pass: string): void {
    if (!this.#isEachPass) return;
    this.#passes.set(pass, new Usage(this.#device));
    if (pass === '3') this.#tell(`Peak memory: ${this.#all.memoryLine()}`);
  }

  end(pass: string): void {
    const usage = this.#passes.get(pass);
    if (usage === undefined) return;
    this.#tell(`Pass ${pass}: ${usage.memoryLine()}Pass ${pass}: ${usage.transferLine()}`);
  }

  endAll(): void {
    this.#tell(this.#all.memoryLine() + this.#all.transferLine());
  }
}
