import type { BlockDevice } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import { MAX_PARTITIONS } from './mbr-chain.ts';
import type { MbrEditor } from './mbr-editor.ts';
import type { EditedPartition } from './mbr-slots.ts';
import { isExtendedType, partitionTypeName } from './mbr-type.ts';
import type { AddOptions, EntryAttributes, Label } from './partition-table.ts';
import { type Gap, type Place, gapsBetween } from './placement.ts';

const LINUX = 0x83;
const EXTENDED = 0x05;
/** Entries have 32 bits for a sector and for a number of them. */
const MAX_SECTOR = 0xffff_ffff;

/** An MBR under the face that both kinds of tables have. */
export class MbrLabel implements Label {
  readonly kind = 'mbr';
  readonly #editor: MbrEditor;

  constructor(editor: MbrEditor) {
    this.#editor = editor;
  }

  get diskIdentifier(): number {
    return this.#editor.diskIdentifier;
  }

  entries(): ReturnType<Label['entries']> {
    return this.#used().map(({ index, extended, entry, startSector, sectorCount }) => ({
      number: index + 1,
      kind: index >= 4 ? 'logical' : extended ? 'extended' : 'primary',
      type: entry.type,
      typeName: partitionTypeName(entry.type),
      active: (entry.bootIndicator & 0x80) !== 0,
      startSector,
      sectorCount,
    }));
  }

  room(kind: AddOptions['kind'] = 'primary'): ReturnType<Label['room']> {
    if (kind !== 'logical') return { gaps: this.#primaryGaps(), records: 0 };
    const extended = this.#extended();
    if (extended === undefined) {
      throw new FsError('EINVAL', { detail: 'there is no extended partition for a logical one' });
    }
    return { gaps: this.#logicalGaps(extended), records: 1 };
  }

  add({ record, first, last }: Place, options: AddOptions): number {
    const { kind = 'primary', active = false } = options;
    this.#refuse(options);
    if (last - first + 1 > MAX_SECTOR) {
      throw new FsError('ENOSPC', { detail: `an MBR has no partitions of more than ${MAX_SECTOR} sectors` });
    }
    const type = this.#type(options.type ?? (kind === 'extended' ? EXTENDED : LINUX));
    if (isExtendedType(type) !== (kind === 'extended')) {
      throw new FsError('EINVAL', {
        detail: `a ${kind} partition cannot have the type 0x${type.toString(16)}`,
      });
    }
    if (kind === 'extended' && this.#extended() !== undefined) {
      throw new FsError('EINVAL', { detail: 'there is an extended partition already' });
    }
    if (kind === 'logical') return this.#addLogical({ record, first, last }, type, active, options.number);
    const free = [0, 1, 2, 3].filter((index) => !this.#editor.partition(index).present);
    const index = options.number === undefined ? free[0] : options.number - 1;
    if (index === undefined || !free.includes(index)) {
      throw new FsError('ENOSPC', {
        detail:
          index === undefined
            ? 'all four primary partitions are in use'
            : `there is no free entry ${index + 1}`,
      });
    }
    this.#editor.setPartition(index, type, first, last, { active });
    return index + 1;
  }

  remove(number: number): void {
    this.#editor.delete(number - 1);
  }

  limit(number: number): number {
    const partition = this.#editor.partition(number - 1);
    const { startSector } = partition;
    const extended = this.#extended();
    const whole = number > 4 && extended !== undefined ? extended.endSector : this.#lastSector();
    const others =
      number > 4
        ? this.#logical().flatMap(({ index, startSector: start }) =>
            index === number - 1
              ? [this.#editor.tableSector(index)]
              : [this.#editor.tableSector(index), start],
          )
        : this.#used()
            .filter(({ index }) => index < 4 && index !== number - 1)
            .map((other) => other.startSector);
    return Math.min(
      whole,
      startSector + MAX_SECTOR - 1,
      ...others.filter((sector) => sector > startSector).map((sector) => sector - 1),
    );
  }

  least(number: number): number {
    const { extended, startSector } = this.#editor.partition(number - 1);
    return extended
      ? Math.max(startSector, ...this.#logical().map(({ endSector }) => endSector))
      : startSector;
  }

  resize(number: number, lastSector: number): void {
    this.#editor.setRange(number - 1, this.#editor.partition(number - 1).startSector, lastSector);
  }

  change(number: number, attributes: EntryAttributes): void {
    this.#refuse(attributes);
    const { extended } = this.#editor.partition(number - 1);
    const type = attributes.type === undefined ? undefined : this.#type(attributes.type);
    if (type !== undefined && isExtendedType(type) !== extended) {
      throw new FsError('EINVAL', {
        detail: 'a partition does not become an extended one, nor the other way; remove it and add one',
      });
    }
    // From one extended type to another the editor drops the chain, as the classic tool does.
    if (type !== undefined && !extended) this.#editor.setType(number - 1, type);
    if (attributes.active !== undefined) this.#editor.setActive(number - 1, attributes.active);
  }

  write(device: BlockDevice): void {
    this.#editor.write(device);
  }

  #addLogical(
    { record, first, last }: Place,
    type: number,
    active: boolean,
    number: number | undefined,
  ): number {
    const next = this.#editor.slotCount + 1;
    if (this.#editor.slotCount >= MAX_PARTITIONS) {
      throw new FsError('ENOSPC', { detail: `an MBR has ${MAX_PARTITIONS - 4} logical partitions at most` });
    }
    if (number !== undefined && number !== next) {
      throw new FsError('EINVAL', {
        detail: `the next logical partition is ${next}, since they are numbered by their chain`,
      });
    }
    const index = this.#editor.addSlot();
    // The chain begins where the extended partition does.
    this.#editor.placeTable(index, index === 4 ? this.#extended()!.startSector : record);
    this.#editor.setPartition(index, type, first, last, { active });
    return index + 1;
  }

  #refuse({ name, uuid }: EntryAttributes): void {
    if (name === undefined && uuid === undefined) return;
    throw new FsError('EINVAL', { detail: 'partitions of an MBR have neither names nor GUIDs' });
  }

  #type(type: number | string): number {
    if (typeof type === 'number' && Number.isInteger(type) && type > 0 && type <= 0xff) return type;
    throw new FsError('EINVAL', { detail: `${type} is no type of an MBR, expected a number from 1 to 255` });
  }

  #used(): EditedPartition[] {
    // An entry without a type holds nothing, whatever its numbers say.
    return this.#editor.partitions.filter(({ used, entry }) => used && entry.type !== 0);
  }

  #logical(): EditedPartition[] {
    return this.#used().filter(({ index }) => index >= 4);
  }

  #extended(): EditedPartition | undefined {
    const index = this.#editor.extendedIndex;
    return index === undefined ? undefined : this.#editor.partition(index);
  }

  #lastSector(): number {
    return Math.min(this.#editor.layout.sectorCount - 1, MAX_SECTOR);
  }

  #primaryGaps(): Gap[] {
    const taken = this.#used()
      .filter(({ index }) => index < 4)
      .map(({ startSector, endSector }) => ({ first: startSector, last: endSector }));
    return gapsBetween({ first: 1, last: this.#lastSector() }, taken);
  }

  /** The first boot record of the chain lies at the start of the extended partition, the others anywhere in it. */
  #logicalGaps({ startSector, endSector }: EditedPartition): Gap[] {
    const logical = this.#logical();
    const taken = logical.flatMap(({ index, startSector: first, endSector: last }) => {
      const record = this.#editor.tableSector(index);
      return [
        { first: record, last: record },
        { first, last },
      ];
    });
    return gapsBetween({ first: startSector, last: endSector }, taken);
  }
}
