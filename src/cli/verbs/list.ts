import type { DeviceState } from '../../attach/device-state.ts';
import { chooseBackend } from '../../attach/backend.ts';
import { listDevices, viewPath } from '../../attach/registry.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { getopt } from '../getopt.ts';
import { printable } from './failure.ts';
import { checkOperands } from './operand-count.ts';
import { alignColumns, print, printJson } from './print.ts';

/** `userloop list`: what is attached. */
export const list = defineApplet({
  name: 'list',
  kind: 'verb',
  summary: 'list the attached devices',
  usage: ['userloop list [--json]'],
  description: [
    'Prints a line for each device of this user, and for root the loop devices of the kernel: the path by which programs open it, its size, the image, and where its file systems are mounted. Prints nothing when there is none.',
  ],
  options: [{ long: 'json', description: 'everything that is known, as an array of objects' }],
  examples: [
    { command: 'userloop list', explanation: 'what is attached' },
    {
      command: "userloop list --json | jq -r '.[].nbdSocket'",
      explanation: 'the sockets of the NBD servers, for a script',
    },
  ],
  exitStatus: { 0: 'always, unless the list cannot be read', 1: 'it cannot be read', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, list.options);
    checkOperands(args.operands, 0, 0);
    const devices = everyDevice(io);
    if (args.has('json')) printJson(io, devices.map(withPath));
    else if (devices.length > 0) {
      const head = ['DEVICE', 'SIZE', 'RO', 'IMAGE', 'MOUNTED ON'];
      for (const line of alignColumns([head, ...devices.map(row)], [1, 2])) print(io, `${line.trimEnd()}\n`);
    }
    return 0;
  },
});

/** Ours, and the kernel's loop devices where it is those that attach makes. */
function everyDevice(io: Io): DeviceState[] {
  const backend = chooseBackend(io.env, undefined);
  return backend.kind === 'user' ? backend.list() : [...listDevices(io.env), ...backend.list()];
}

/** As `attach --json` and `list --json` print a device. */
export function withPath(state: DeviceState): object {
  return { path: viewPath(state), ...state };
}

function row(state: DeviceState): string[] {
  const image = state.image === '' ? `(${state.source})` : printable(state.image);
  return [
    viewPath(state),
    `${state.size}`,
    state.readOnly ? '1' : '0',
    state.detaching ? `${image} (going)` : image,
    state.mounts.map(({ directory }) => printable(directory)).join(', '),
  ];
}
