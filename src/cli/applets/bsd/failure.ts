import { DeviceBusyError } from '../../../attach/device-state.ts';
import { ERRNO, FsError, UnsupportedError, UsageError } from '../../../errors.ts';

/** Ends a tool of the BSDs as its err(3) and errx(3) do: `NAME: message` on stderr. */
export class BsdFailure extends Error {
  readonly status: number;

  constructor(message: string, status = 1) {
    super(message);
    this.status = status;
  }
}

/** Ends it with its usage. The message is the one of getopt(3), if that has one. */
export class BsdUsage extends Error {}

/** Where the BSDs' strerror(3) says something else than Linux'. */
const BSD_TEXTS: Readonly<Record<string, string>> = {
  EBUSY: 'Device busy',
  ENXIO: 'Device not configured',
  ENODEV: 'Operation not supported by device',
  ENOTTY: 'Inappropriate ioctl for device',
};

/** err(3) for an operation of the system that failed, with what more is known in parentheses; other errors go on. */
export function systemFailure(doing: string, error: unknown, status = 1): BsdFailure {
  if (error instanceof UnsupportedError) {
    return new BsdFailure(`${doing}: Operation not supported (${error.message})`, status);
  }
  if (!(error instanceof Error && 'code' in error)) throw error;
  const code = String(error.code);
  const known: Readonly<Record<string, readonly [number, string] | undefined>> = ERRNO;
  const text = BSD_TEXTS[code] ?? known[code]?.[1];
  if (text === undefined) return new BsdFailure(`${doing}: ${error.message}`, status);
  const detail =
    error instanceof FsError ? error.detail : error instanceof DeviceBusyError ? error.message : undefined;
  return new BsdFailure(`${doing}: ${text}${detail === undefined ? '' : ` (${detail})`}`, status);
}

/** Runs the tool; returns its exit status. `usage` is printed as it is. */
export async function runBsdTool(
  name: string,
  stderr: { write(text: string): void },
  usage: string,
  run: () => Promise<number>,
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof BsdFailure) {
      stderr.write(`${name}: ${error.message}\n`);
      return error.status;
    }
    if (error instanceof BsdUsage || error instanceof UsageError) {
      if (error.message !== '') stderr.write(`${name}: ${bsdGetoptText(error.message)}\n`);
      stderr.write(usage);
      return 1;
    }
    throw error;
  }
}

/** getopt(3) of the BSDs says the same in other words. */
function bsdGetoptText(message: string): string {
  return message
    .replace(/^invalid option -- '(.)'$/u, 'illegal option -- $1')
    .replace(/^option requires an argument -- '(.)'$/u, 'option requires an argument -- $1')
    .replace(/^unrecognized option '--.*$/u, 'illegal option -- -');
}
