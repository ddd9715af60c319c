import { formatDevice, type GrubDevice, parseDevice } from './device-name.ts';
import { embed } from './embed.ts';
import { GrubError, SilentFailure } from './grub-error.ts';
import { firstWord, openFile } from './grub-file.ts';
import { afterFirstWord, formatInstall, type HostFile, install, parseInstall } from './install.ts';
import type { GrubSession } from './session.ts';

/** What `setup` needs of the world outside the images. */
export interface SetupHost {
  /** Text for the terminal, as it comes. */
  print(text: string): void;
  /** The file of `--stage2`; Error 15 when it is not there. */
  openHostFile(name: string): HostFile;
}

interface ParsedSetup {
  readonly prefix: string | undefined;
  readonly hostStage2Name: string | undefined;
  readonly forceLba: boolean;
  readonly destination: GrubDevice;
  readonly images: GrubDevice | undefined;
}

/** `[--prefix=DIR] [--stage2=FILE] [--force-lba] INSTALL_DEVICE [IMAGE_DEVICE]`. */
function parseSetup(text: string): ParsedSetup {
  let rest = text;
  let prefix: string | undefined;
  let hostStage2Name: string | undefined;
  let forceLba = false;
  for (;;) {
    const word = firstWord(rest);
    if (word.startsWith('--prefix=')) prefix = word.slice('--prefix='.length);
    else if (word.startsWith('--stage2=')) hostStage2Name = word.slice('--stage2='.length);
    else if (word === '--force-lba') forceLba = true;
    else break;
    rest = afterFirstWord(rest);
  }
  const destination = parseDevice(rest).device;
  rest = afterFirstWord(rest);
  const images = rest === '' ? undefined : parseDevice(rest).device;
  return { prefix, hostStage2Name, forceLba, destination, images };
}

/**
 * Finds the stage files on the root device (or on IMAGE_DEVICE), embeds the stage 1.5 of their file system in the gap
 * behind the master boot record where there is room, and installs.
 */
export function setup(session: GrubSession, text: string, host: SetupHost): void {
  const request = parseSetup(text);
  const root = session.root;
  try {
    if (request.images !== undefined) session.root = request.images;
    run(session, request, host);
  } finally {
    session.root = root;
  }
}

function run(session: GrubSession, request: ParsedSetup, host: SetupHost): void {
  const { destination } = request;
  const stage15Name = session.mount(session.root).stage15;
  const prefix = findPrefix(session, request.prefix, host);
  const stage2Name = `${prefix}/stage2`;
  if (!exists(session, stage2Name, host)) throw new GrubError(15);

  const options =
    (request.forceLba ? '--force-lba ' : '') +
    (request.hostStage2Name === undefined ? '' : `--stage2=${request.hostStage2Name} `);
  const common = {
    options,
    stage1: `${prefix}/stage1`,
    fixedDrive: session.root.drive !== destination.drive,
    destination,
  };
  const stage15 = `${prefix}/${stage15Name}`;
  const embedded = exists(session, stage15, host)
    ? embedSomewhere(session, stage15, destination, host)
    : undefined;
  const command =
    embedded === undefined
      ? formatInstall({ ...common, stage2: stage2Name, configFile: `${prefix}/menu.lst ` })
      : formatInstall({
          ...common,
          stage2: `${formatDevice(embedded.device)}1+${embedded.count}`,
          configFile: `${formatDevice(session.root)}${stage2Name} ${prefix}/menu.lst`,
        });
  host.print(` Running "install ${command}"... `);
  try {
    install(session, parseInstall(command), (name) => host.openHostFile(name));
  } catch (error) {
    host.print('failed\n');
    throw error;
  }
  host.print('succeeded\nDone.\n');
}

/** The folder of the stage files. */
function findPrefix(session: GrubSession, given: string | undefined, host: SetupHost): string {
  const candidates = given === undefined ? ['/boot/grub', '/grub'] : [given];
  for (const prefix of candidates) {
    if (exists(session, `${prefix}/stage1`, host)) return prefix;
  }
  throw new GrubError(15);
}

function exists(session: GrubSession, name: string, host: SetupHost): boolean {
  let found = true;
  try {
    openFile(session, name);
  } catch (error) {
    if (!(error instanceof GrubError)) throw error;
    found = false;
  }
  host.print(` Checking if "${name}" exists... ${found ? 'yes' : 'no'}\n`);
  return found;
}

interface Embedded {
  readonly device: GrubDevice;
  readonly count: number;
}

/** Tries the drive that GRUB is installed on, then the partition of the stage files. */
function embedSomewhere(
  session: GrubSession,
  stage15: string,
  destination: GrubDevice,
  host: SetupHost,
): Embedded | undefined {
  for (const device of [destination, session.root]) {
    host.print(` Running "embed ${stage15} ${formatDevice(device)}"... `);
    try {
      const count = embed(session, stage15, device);
      host.print(` ${count} sectors are embedded.\nsucceeded\n`);
      return { device, count };
    } catch (error) {
      if (!(error instanceof GrubError || error instanceof SilentFailure)) throw error;
      host.print('failed (this is not fatal)\n');
    }
  }
  return undefined;
}
