import fs from 'node:fs';
import { timestampFromMilliseconds, type Timestamp } from '../bytes/time.ts';
import { type DeviceFamily, type DeviceView, deviceViews } from '../disk/device-views.ts';
import { ERRNO, FsError } from '../errors.ts';
import { FATTR, FUSE_ROOT_ID } from '../fuse/protocol.ts';
import { ReadIn, SetattrIn } from '../fuse/structures.ts';
import { DirentWriter, type FuseAttributes, type FuseReply } from '../fuse/reply.ts';
import type { FuseRequest } from '../fuse/request.ts';
import { type SharedDevice, ShareWord } from '../host/device-share.ts';
import { nodeIdOf } from './device-files-nodes.ts';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

/** The folder with the files of a device and of its partitions: its names follow the partition table. */
export class DeviceFileNames {
  readonly #device: SharedDevice;
  /** Of the file behind it. */
  readonly #file: number;
  readonly #family: DeviceFamily;
  readonly #unit: number;
  readonly #time: Timestamp = timestampFromMilliseconds(Date.now());
  readonly #uid = process.getuid!();
  readonly #gid = process.getgid!();
  #views = new Map<number, DeviceView>();
  #viewsGeneration: number | undefined;
  #viewsSize = -1;
  #dirents: DirentWriter | undefined;

  constructor(
    device: SharedDevice,
    options: { readonly file: number; readonly family: DeviceFamily; readonly unit: number },
  ) {
    this.#device = device;
    this.#file = options.file;
    this.#family = options.family;
    this.#unit = options.unit;
  }

  /** The view behind a node; ENXIO when the partition is not there any more. */
  view(nodeId: number): DeviceView {
    const view = this.#currentViews().get(nodeId);
    if (view === undefined) throw new FsError('ENXIO', { detail: 'the partition is not there any more' });
    return view;
  }

  #currentViews(): Map<number, DeviceView> {
    const generation = Atomics.load(this.#device.words, ShareWord.tableGeneration);
    const { size } = this.#device;
    if (generation === this.#viewsGeneration && size === this.#viewsSize) return this.#views;
    const views = deviceViews(this.#device, this.#family, this.#unit);
    this.#views = new Map(views.map((view) => [nodeIdOf(view), view]));
    this.#viewsGeneration = generation;
    this.#viewsSize = size;
    return this.#views;
  }

  lookup(request: FuseRequest, reply: FuseReply): number {
    if (request.nodeId !== FUSE_ROOT_ID) return reply.error(request, ERRNO.ENOTDIR[0]);
    const name = request.name();
    for (const [nodeId, view] of this.#currentViews()) {
      if (view.name !== name) continue;
      const attributes = this.#fileAttributes(view);
      return reply.entry(request, { nodeId, generation: 0, entryValid: 0, attrValid: 0, attributes });
    }
    return reply.error(request, ERRNO.ENOENT[0]);
  }

  /** Never believed for longer than it takes: the table and the size change behind the kernel's back. */
  attributes(request: FuseRequest, reply: FuseReply): number {
    return reply.attributes(request, this.#attributesOf(request.nodeId), 0);
  }

  #attributesOf(nodeId: number): FuseAttributes {
    if (nodeId !== FUSE_ROOT_ID) return this.#fileAttributes(this.view(nodeId));
    return this.#make(FUSE_ROOT_ID, S_IFDIR | 0o500, 0, 0, 2);
  }

  #fileAttributes(view: DeviceView): FuseAttributes {
    let blocks = Math.ceil(view.size / 512);
    // cp and others look for holes only where fewer blocks are taken than the size needs.
    if (view.partition === undefined && this.#device.isPlainFile)
      blocks = Math.min(blocks, fs.fstatSync(this.#file).blocks);
    return this.#make(view.id + 1, S_IFREG | 0o600, view.size, blocks, 1);
  }

  #make(ino: number, mode: number, size: number, blocks: number, nlink: number): FuseAttributes {
    return {
      ino,
      size,
      blocks,
      atime: this.#time,
      mtime: this.#time,
      ctime: this.#time,
      mode,
      nlink,
      uid: this.#uid,
      gid: this.#gid,
      rdev: 0,
      blksize: 4096,
    };
  }

  /** O_TRUNC and times go by without effect, as on a device; its owner and mode are not anybody's to change. */
  setAttributes(request: FuseRequest, reply: FuseReply): number {
    const attributes = this.#attributesOf(request.nodeId);
    const valid = request.get(SetattrIn.valid);
    const isChange =
      ((valid & FATTR.MODE) !== 0 && ((request.get(SetattrIn.mode) ^ attributes.mode) & 0o7777) !== 0) ||
      ((valid & FATTR.UID) !== 0 && request.get(SetattrIn.uid) !== attributes.uid) ||
      ((valid & FATTR.GID) !== 0 && request.get(SetattrIn.gid) !== attributes.gid);
    if (isChange) return reply.error(request, ERRNO.EPERM[0]);
    return reply.attributes(request, attributes, 0);
  }

  readDirectory(request: FuseRequest, reply: FuseReply): number {
    const writer = (this.#dirents ??= new DirentWriter(reply));
    writer.start(request.get(ReadIn.size));
    const entries: [name: string, ino: number, mode: number][] = [
      ['.', FUSE_ROOT_ID, S_IFDIR],
      ['..', FUSE_ROOT_ID, S_IFDIR],
    ];
    for (const view of this.#currentViews().values()) entries.push([view.name, view.id + 1, S_IFREG]);
    const first = request.get(ReadIn.offset);
    for (const [index, [name, ino, mode]] of entries.entries()) {
      if (index >= first && !writer.add(name, ino, mode, index + 1)) break;
    }
    return reply.done(request, writer.length);
  }
}
