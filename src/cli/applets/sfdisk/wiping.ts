import type { BlockDevice } from '../../../device/block-device.ts';
import { SliceDevice } from '../../../device/slice-device.ts';
import type { Disk } from '../fdisk/disk.ts';
import { type Signature, fileSystemSignature, tableSignature, wipeSignature } from '../fdisk/signature.ts';
import type { WipeMode } from '../fdisk/wiping.ts';
import type { Context } from './context.ts';

/** What is found of older tables and file systems, what is said of it, and what of it goes when the table is written. */
export class ScriptWiping {
  readonly #context: Context;
  readonly #isTerminal: boolean;
  readonly #ofPartitions = new Map<number, { readonly offset: number; readonly signature: Signature }>();
  /** The table of another kind that a new one takes the place of. */
  #oldTable: Signature | undefined;
  #ofDisk: Signature | undefined;

  constructor(context: Context) {
    this.#context = context;
    this.#isTerminal = context.io.stdin.isTerminal;
  }

  #wipes(mode: WipeMode): boolean {
    return mode === 'always' || (mode === 'auto' && this.#isTerminal);
  }

  /** A file system on the whole disk: told when the disk is opened. */
  mentionDisk(disk: Disk): void {
    this.#mention(fileSystemSignature(disk.device));
  }

  /** A new label: told again, and the table of another kind does not stay beside it unless it is to. */
  mentionTable(disk: Disk): void {
    const table = tableSignature(disk.device, disk.sectorSize);
    const other = table !== undefined && table.name !== disk.label?.kind ? table : undefined;
    const stays = this.#context.options.wipe === 'never';
    if (!stays) this.#oldTable = other;
    this.#mention(fileSystemSignature(disk.device) ?? (stays ? other : undefined));
  }

  #mention(signature: Signature | undefined): void {
    const { talk, options } = this.#context;
    if (signature === undefined) return;
    const wipe = this.#wipes(options.wipe);
    this.#ofDisk = wipe ? signature : undefined;
    if (talk.quiet) return;
    talk.warn(
      wipe
        ? `The device contains '${signature.name}' signature and it may be removed by a write command. See sfdisk(8) man page and --wipe option for more details.`
        : `The device contains '${signature.name}' signature and it may remain on the device. It is recommended to wipe the device with wipefs(8) or sfdisk --wipe, in order to avoid possible collisions.`,
    );
    if (wipe) talk.print('\n');
    else talk.warn('');
  }

  /** What a new partition covers. */
  mentionPartition(disk: Disk, index: number): void {
    const { talk, options } = this.#context;
    const { startSector, sectorCount } = disk.label!.editor.partition(index);
    const { sectorSize } = disk.layout;
    const [offset, size] = [startSector * sectorSize, sectorCount * sectorSize];
    if (size === 0 || offset + size > disk.device.size) return;
    const signature = fileSystemSignature(new SliceDevice(disk.device, offset, size));
    if (signature === undefined) return;
    talk.warn(`Partition #${index + 1} contains a ${signature.name} signature.`);
    const mode = options.wipePartitions;
    const wipe =
      mode === 'always' ||
      (mode === 'auto' && this.#isTerminal && talk.askYesNo('Do you want to remove the signature?'));
    if (!wipe) return;
    this.#ofPartitions.set(index, { offset, signature });
    talk.info('The signature will be removed by a write command.');
  }

  /** What the listing says of it. */
  announce(): string[] {
    return [...this.#ofPartitions.keys()].map(
      (index) => `Filesystem/RAID signature on partition ${index + 1} will be wiped.`,
    );
  }

  /** Before the table is written. */
  wipe(device: BlockDevice): void {
    if (this.#oldTable !== undefined) wipeSignature(device, this.#oldTable);
    if (this.#ofDisk !== undefined) wipeSignature(device, this.#ofDisk);
    for (const { offset, signature } of this.#ofPartitions.values()) {
      wipeSignature(new SliceDevice(device, offset), signature);
    }
  }
}
