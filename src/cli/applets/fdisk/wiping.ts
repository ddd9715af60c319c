import { SliceDevice } from '../../../device/slice-device.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import type { Dialog } from './dialog.ts';
import type { Disk } from './disk.ts';
import { type Signature, fileSystemSignature, tableSignature, wipeSignature } from './signature.ts';

export type WipeMode = 'auto' | 'always' | 'never';

export interface WipingOptions {
  /** The tool whose manual is named. */
  readonly tool: 'fdisk' | 'sfdisk';
  /** `-w`: what is on the disk where the new table goes. `auto`: old tables go, and file systems when somebody types. */
  readonly disk: WipeMode;
  /** `-W`: what is in new partitions. `auto`: asks when somebody types. */
  readonly partitions: WipeMode;
  readonly isTerminal: boolean;
}

/** What is found of older tables and file systems, what is said of it, and what of it goes when the table is written. */
export class Wiping {
  readonly #options: WipingOptions;
  readonly #ofPartitions = new Map<number, { readonly offset: number; readonly signature: Signature }>();
  #ofDisk: Signature | undefined;

  constructor(options: WipingOptions) {
    this.#options = options;
  }

  /** A disk without a table that is known. */
  mentionDisk(disk: Disk, dialog: Dialog): void {
    const file = fileSystemSignature(disk.device);
    const signature =
      disk.label === undefined ? (file ?? tableSignature(disk.device, disk.sectorSize)) : file;
    if (signature !== undefined) this.#follow(signature, dialog);
  }

  /** Another kind of table takes the place of what is on the disk. */
  mentionTable(disk: Disk, dialog: Dialog): void {
    const file = fileSystemSignature(disk.device);
    const table = tableSignature(disk.device, disk.sectorSize);
    const kind = disk.label?.kind;
    const hidden = table !== undefined && table.name !== kind ? table : undefined;
    const signature = file ?? hidden;
    if (signature !== undefined) this.#follow(signature, dialog);
  }

  #follow(signature: Signature, dialog: Dialog): void {
    const { tool, disk: mode, isTerminal } = this.#options;
    const wipe = mode === 'always' || (mode === 'auto' && (isTerminal || signature.kind === 'table'));
    this.#ofDisk = wipe ? signature : undefined;
    dialog.warn(
      wipe
        ? `The device contains '${signature.name}' signature and it will be removed by a write command. See ${tool}(8) man page and --wipe option for more details.`
        : `The device contains '${signature.name}' signature and it may remain on the device. It is recommended to wipe the device with wipefs(8) or ${tool} --wipe, in order to avoid possible collisions.`,
    );
  }

  /** A new partition: `place` is its range, which starts at byte `offset` of the disk. */
  mentionPartition(place: BlockDevice, offset: number, index: number, dialog: Dialog): void {
    const { partitions: mode, isTerminal } = this.#options;
    if (mode === 'never') return;
    const signature = fileSystemSignature(place);
    if (signature === undefined) return;
    dialog.warn(`Partition #${index + 1} contains a ${signature.name} signature.`);
    const wipe = mode === 'always' || (isTerminal && dialog.askYesNo('Do you want to remove the signature?'));
    if (!wipe) return;
    this.#ofPartitions.set(index, { offset, signature });
    dialog.info('The signature will be removed by a write command.');
  }

  /** The partition is gone, or another now. */
  forget(index: number): void {
    this.#ofPartitions.delete(index);
  }

  /** What the listing says of it. */
  announce(): string[] {
    return [...this.#ofPartitions.keys()].map(
      (index) => `Filesystem/RAID signature on partition ${index + 1} will be wiped.`,
    );
  }

  /** Before the table is written. */
  wipe(device: BlockDevice): void {
    if (this.#ofDisk !== undefined) wipeSignature(device, this.#ofDisk);
    for (const { offset, signature } of this.#ofPartitions.values()) {
      wipeSignature(new SliceDevice(device, offset), signature);
    }
    this.#ofDisk = undefined;
    this.#ofPartitions.clear();
  }
}
