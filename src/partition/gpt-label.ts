import { type RandomSource, randomUuid } from '../bytes/uuid.ts';
import type { BlockDevice } from '../device/block-device.ts';
import { CorruptImageError, FsError } from '../errors.ts';
import type { GptEditor } from './gpt-editor.ts';
import { gptGaps } from './gpt-space.ts';
import { LINUX_FILESYSTEM, gptTypeName } from './gpt-type.ts';
import { formatGuid, parseGuid } from './guid.ts';
import type { AddOptions, EntryAttributes, Label } from './partition-table.ts';
import type { Place } from './placement.ts';

/** The attribute of a GPT partition that a BIOS boot loader goes by. */
const LEGACY_BOOTABLE = 4n;

/** A GPT under the face that both kinds of tables have. */
export class GptLabel implements Label {
  readonly kind = 'gpt';
  readonly #editor: GptEditor;
  readonly #random: RandomSource | undefined;

  constructor(editor: GptEditor, random?: RandomSource) {
    this.#editor = editor;
    this.#random = random;
  }

  get diskIdentifier(): string {
    return this.#editor.diskGuid;
  }

  entries(): ReturnType<Label['entries']> {
    return this.#editor.partitions.map(
      ({ index, type, uuid, name, attributes, startSector, sectorCount }) => ({
        number: index + 1,
        kind: 'gpt',
        type,
        typeName: gptTypeName(type),
        active: (attributes & LEGACY_BOOTABLE) !== 0n,
        name,
        uuid,
        startSector,
        sectorCount: Math.max(0, sectorCount),
      }),
    );
  }

  room(kind: AddOptions['kind']): ReturnType<Label['room']> {
    if (kind !== undefined && kind !== 'primary') {
      throw new FsError('EINVAL', { detail: `a GPT has no ${kind} partitions` });
    }
    const gaps = gptGaps(this.#editor).map(({ startSector, endSector }) => ({
      first: startSector,
      last: endSector,
    }));
    return { gaps, records: 0 };
  }

  add({ first, last }: Place, options: AddOptions): number {
    const used = new Set(this.#editor.partitions.map(({ index }) => index));
    let index = options.number === undefined ? 0 : options.number - 1;
    while (options.number === undefined && used.has(index)) index++;
    if (index < 0 || index >= this.#editor.entryCount || used.has(index)) {
      throw new FsError('ENOSPC', {
        detail:
          options.number === undefined
            ? 'all entries of the table are in use'
            : `there is no free entry ${options.number}`,
      });
    }
    const { type = LINUX_FILESYSTEM, uuid = this.#newGuid(), ...rest } = options;
    const change = this.#checked({ ...rest, type, uuid }, 0n);
    this.#editor.setPartition(index, { ...change, startSector: first, endSector: last });
    return index + 1;
  }

  remove(number: number): void {
    this.#editor.delete(number - 1);
  }

  limit(number: number): number {
    const { startSector } = this.#editor.partition(number - 1);
    const others = this.#editor.partitions
      .filter((other) => other.index !== number - 1 && other.startSector > startSector)
      .map((other) => other.startSector - 1);
    return Math.min(this.#editor.lastUsable, ...others);
  }

  least(number: number): number {
    return this.#editor.partition(number - 1).startSector;
  }

  resize(number: number, lastSector: number): void {
    this.#editor.setPartition(number - 1, { endSector: lastSector });
  }

  change(number: number, attributes: EntryAttributes): void {
    const { attributes: bits } = this.#editor.partition(number - 1);
    this.#editor.setPartition(number - 1, this.#checked(attributes, bits));
  }

  write(device: BlockDevice): void {
    const { alternateLba, layout } = this.#editor;
    if (alternateLba !== layout.sectorCount - 1) {
      throw new CorruptImageError({
        structure: 'primary GPT header',
        field: 'AlternateLBA',
        found: `${alternateLba}`,
        expected: `${layout.sectorCount - 1}, the last sector, where there is no room for the backup`,
      });
    }
    this.#editor.write(device);
  }

  #checked(
    { type, uuid, name, active }: EntryAttributes,
    bits: bigint,
  ): Parameters<GptEditor['setPartition']>[1] {
    return {
      ...(type === undefined ? {} : { type: guidOf(type, 'type') }),
      ...(uuid === undefined ? {} : { uuid: guidOf(uuid, 'GUID') }),
      ...(name === undefined ? {} : { name }),
      ...(active === undefined
        ? {}
        : { attributes: active ? bits | LEGACY_BOOTABLE : bits & ~LEGACY_BOOTABLE }),
    };
  }

  #newGuid(): string {
    if (this.#random === undefined) {
      throw new TypeError(
        'A partition of a GPT needs a uuid, or random to make one: systemRandom of userloop',
      );
    }
    return formatGuid(randomUuid(this.#random));
  }
}

function guidOf(text: number | string, what: string): string {
  const guid = typeof text === 'string' ? parseGuid(text) : undefined;
  if (guid === undefined) throw new FsError('EINVAL', { detail: `${text} is no ${what} of a GPT` });
  return formatGuid(guid);
}
