import fs from 'node:fs';
import path from 'node:path';
import { parseSize } from '../bytes/size.ts';
import type { Clock } from '../bytes/time.ts';
import { DiskImage, type DiskImageOptions } from '../disk/disk-image.ts';
import { FsError, UsageError } from '../errors.ts';
import type { BlockDevice } from '../device/block-device.ts';
import type { FileSystem } from '../filesystem/file-system.ts';
import { isNbdUri } from '../host/nbd-uri.ts';
import { clockFromEnvironment, systemUtcOffsetMinutes } from '../host/system.ts';
import { volumeUse } from './idle-volume.ts';
import type { Io } from './io.ts';
import { deviceExists, openDevice } from './open-device.ts';

/**
 * Places in images, as they are written on the command line:
 *
 *     IMAGE             the only file system of the image
 *     IMAGE:/path       a file in it
 *     IMAGE:N           partition N                     IMAGE:N:/path        a file in it
 *     IMAGE@OFFSET      what starts at byte OFFSET      IMAGE@OFFSET:/path   a file in it
 *
 * IMAGE is whatever `openDevice` takes: a file, an attached device, the URI of an NBD export.
 *
 * OFFSET takes the suffixes of sizes (`1M`) and `s` for sectors of 512 bytes (`63s`).
 *
 * File names may contain `:` and `@`, too. Of the ways to cut a text, the one with the shortest IMAGE that is there
 * wins, and a whole text that names a file of the host is that file. Where a host path is possible (cp, mv), only a text with
 * `:/`, or one whose IMAGE is there, is a place in an image, so `./x:y` stays a host path.
 */
export interface ImageReference {
  /** The name of the image or device, for `openDevice`. */
  readonly image: string;
  readonly partition: number | undefined;
  /** Bytes. */
  readonly offset: number | undefined;
  /** Absolute path within the file system; undefined when none was given. */
  readonly path: string | undefined;
}

/** A place as an operand: in an image or on the host. */
export type Place =
  | { readonly kind: 'image'; readonly reference: ImageReference }
  | { readonly kind: 'host'; readonly path: string };

/** A text that must name an image or a place in one. */
export function parseImageReference(io: Io, text: string): ImageReference {
  if (text === '') throw new UsageError('the name of an image is empty');
  const whole: ImageReference = { image: text, partition: undefined, offset: undefined, path: undefined };
  if (!isNbdUri(text) && exists(io, text)) return whole;
  const candidates = cuts(text);
  return candidates.find(({ image }) => exists(io, image)) ?? candidates[0] ?? whole;
}

/** A text that may name a place in an image or one on the host. */
export function parsePlace(io: Io, text: string): Place {
  if (text === '') throw new UsageError('the name of a file is empty');
  if (fs.lstatSync(path.resolve(io.cwd, text), { throwIfNoEntry: false }) !== undefined)
    return { kind: 'host', path: text };
  const candidates = cuts(text);
  const reference =
    candidates.find(({ image }) => isFile(io, image)) ??
    candidates.find((candidate) => candidate.path !== undefined);
  return reference === undefined ? { kind: 'host', path: text } : { kind: 'image', reference };
}

/** The reference as a person would type it; `atPath` stands in for its path. */
export function formatReference(
  reference: ImageReference,
  atPath: string | undefined = reference.path,
): string {
  let text = reference.image;
  if (reference.partition !== undefined) text += `:${reference.partition}`;
  if (reference.offset !== undefined) text += `@${reference.offset}`;
  return atPath === undefined ? text : `${text}:${atPath}`;
}

/** Every way to read the text as IMAGE with something behind it, shortest IMAGE first. */
function cuts(text: string): ImageReference[] {
  const found: ImageReference[] = [];
  // What stands for host and port in a URI is no place in an image.
  const authority = isNbdUri(text) ? /^[^:]*:\/\/[^/]*/.exec(text)![0].length : 0;
  for (let at = nextMark(text, authority - 1); at > 0; at = nextMark(text, at)) {
    const image = text.slice(0, at);
    const rest = /^(?::(?<partition>[1-9]\d{0,2})|@(?<offset>[^:@/]+))?(?::(?<path>\/.*))?$/su.exec(
      text.slice(at),
    );
    if (rest === null || rest[0] === '') continue;
    const { partition, offset, path: inside } = rest.groups ?? {};
    const bytes = offset === undefined ? undefined : parseOffset(offset);
    if (offset !== undefined && bytes === undefined) continue;
    found.push({
      image,
      partition: partition === undefined ? undefined : Number(partition),
      offset: bytes,
      path: inside,
    });
  }
  return found;
}

function nextMark(text: string, after: number): number {
  const distance = text.slice(after + 1).search(/[:@]/);
  return distance < 0 ? -1 : after + 1 + distance;
}

/** `32256`, `1M`, `0x7e00`, `63s` in bytes. */
function parseOffset(text: string): number | undefined {
  const sectors = /^(\d{1,12})s$/i.exec(text);
  return sectors === null ? parseSize(text) : Number(sectors[1]) * 512;
}

function exists(io: Io, name: string): boolean {
  return deviceExists(io, name);
}

function isFile(io: Io, name: string): boolean {
  const stats = fs.statSync(path.resolve(io.cwd, name), { throwIfNoEntry: false });
  return stats === undefined ? deviceExists(io, name) : !stats.isDirectory();
}

export interface OpenImagesOptions {
  /** For images that must come out the same twice; FAT's times are then in UTC. Default: SOURCE_DATE_EPOCH or the system's clock. */
  readonly clock?: Clock;
}

/**
 * The images that one command has open: each once, however many of its operands lie in it. Ask for the writable ones
 * first. Closing writes what is held in memory.
 */
export class OpenImages {
  readonly #io: Io;
  readonly #clock: Clock;
  readonly #utcOffsetMinutes: number;
  readonly #disks = new Map<string, { disk: DiskImage; writable: boolean }>();

  constructor(io: Io, options: OpenImagesOptions = {}) {
    this.#io = io;
    this.#clock = options.clock ?? clockFromEnvironment(io.env);
    // FAT keeps local times: an image that must come out the same everywhere cannot depend on where it is made.
    const reproducible = options.clock !== undefined || (io.env['SOURCE_DATE_EPOCH'] ?? '') !== '';
    this.#utcOffsetMinutes = reproducible ? 0 : systemUtcOffsetMinutes();
  }

  disk(reference: ImageReference, options: { readonly write?: boolean } = {}): DiskImage {
    const name = path.resolve(this.#io.cwd, reference.image);
    const key = fs.existsSync(name) ? fs.realpathSync(name) : name;
    const write = options.write ?? false;
    let open = this.#disks.get(key);
    if (open === undefined) {
      const device = openDevice(this.#io, reference.image, { readOnly: !write, writeBehind: write });
      const disk = diskOf(device, {
        clock: this.#clock,
        utcOffsetMinutes: this.#utcOffsetMinutes,
        ...(write && volumeUse(this.#io, 'userloop', reference.image)),
      });
      open = { disk, writable: write };
      this.#disks.set(key, open);
    }
    if (write && !open.writable) throw new TypeError(`${reference.image} was opened for reading first`);
    return open.disk;
  }

  /** The file system that the reference names. EROFS with the reason when `write` is asked for and it cannot be written. */
  fileSystem(reference: ImageReference, options: { readonly write?: boolean } = {}): FileSystem {
    const disk = this.disk(reference, options);
    const fileSystem =
      reference.offset === undefined
        ? disk.fileSystem(reference.partition)
        : disk.fileSystemAt(reference.offset);
    if (options.write === true && fileSystem.readOnly) {
      const why = fileSystem.readOnlyReason;
      throw new FsError('EROFS', why === undefined ? {} : { detail: why });
    }
    return fileSystem;
  }

  close(): void {
    for (const { disk } of this.#disks.values()) disk.close();
    this.#disks.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function diskOf(device: BlockDevice, options: DiskImageOptions): DiskImage {
  try {
    return DiskImage.open(device, options);
  } catch (error) {
    device.close();
    throw error;
  }
}
