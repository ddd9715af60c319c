import fs from 'node:fs';
import readline from 'node:readline';
import type { Worker } from 'node:worker_threads';
import { DeviceFiles } from '../../src/attach/device-files.ts';
import type { DeviceFamily } from '../../src/disk/device-views.ts';
import { gatesOf } from '../../src/host/device-gate.ts';
import { createShareState, type DeviceShare, setShareSize, ShareWord } from '../../src/host/device-share.ts';
import { nativePoll } from '../../src/host/native-poll.ts';

/**
 * A process with the files of one device and nothing else: `serve-device-files.js '{"image", "folder", …}'`. One JSON object a line on
 * standard output; commands on standard input. The names are "published" as soon as they change, after `publishMilliseconds`.
 */

interface Settings {
  readonly image: string;
  readonly folder: string;
  readonly family?: DeviceFamily;
  readonly unit?: number;
  readonly offset?: number;
  readonly size?: number;
  readonly sectorSize?: number;
  readonly readOnly?: boolean;
  readonly publishMilliseconds?: number;
}

const settings = JSON.parse(process.argv[2]!) as Settings;
const readOnly = settings.readOnly ?? false;
const fd = fs.openSync(settings.image, readOnly ? 'r' : 'r+');
const offset = settings.offset ?? 0;
const size = settings.size ?? fs.fstatSync(fd).size - offset;
const state = createShareState(size);
const words = new Int32Array(state);
const share: DeviceShare = {
  fd,
  path: settings.image,
  offset,
  sectorSize: settings.sectorSize ?? 512,
  readOnly,
  state,
};

function say(value: unknown): void {
  fs.writeSync(1, `${JSON.stringify(value)}\n`);
}

const publisher = setInterval(() => {
  Atomics.store(words, ShareWord.publishedGeneration, Atomics.load(words, ShareWord.tableGeneration));
  Atomics.notify(words, ShareWord.publishedGeneration);
}, settings.publishMilliseconds ?? 5);

const threads: Worker[] = [];
process.on('worker', (thread) => threads.push(thread));

try {
  const files = await DeviceFiles.open(share, settings.folder, settings.family ?? 'loop', settings.unit ?? 0);
  say({ ready: true });
  const commands: Record<string, (argument: string) => unknown> = {
    holders: () => files.holders(),
    idle: () => files.whenIdle(),
    drop: () => files.dropCaches(),
    resize: (bytes) => setShareSize(state, Number(bytes)),
    mounts: (count) => Atomics.store(words, ShareWord.mounts, Number(count)),
    // A file system that is just coming, or has gone without a word: nobody answers at its gate.
    gate: () => {
      gatesOf(state)[0]!.activate(0, size, nativePoll()!.eventfd());
      Atomics.add(words, ShareWord.mounts, 1);
    },
    word: (name) => Atomics.load(words, ShareWord[name as keyof typeof ShareWord]),
    threads: () => threads.length,
    // It ends when it is next in JavaScript: in the middle of a request.
    crash: () => void threads.at(-1)!.terminate(),
    close: () => files.close(),
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, argument] = line.split(' ');
    try {
      say({ result: (await commands[name!]!(argument ?? '')) ?? null });
    } catch (error) {
      say({ error: String(error) });
    }
  }
  await files.close();
} catch (error) {
  say({ error: String(error) });
}
clearInterval(publisher);
