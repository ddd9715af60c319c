/** What a script or an option asks of a partition, new or there already; what it does not say is left to the tool or stays as it is. */
export interface PartitionTemplate {
  /** From 0: the number is one more. */
  readonly index?: number;
  /** The index only says which kind of partition is meant: the first free one of that kind is taken. */
  readonly anyIndex?: boolean;
  /** A sector, or how many sectors an existing partition's start moves by `startMove`. */
  readonly startSector?: number;
  /** `+` and `-` before the start; `down` alone: as far down as there is room. */
  readonly startMove?: 'up' | 'down';
  readonly sectorCount?: number;
  /** The size was given in sectors: it is not rounded. */
  readonly exactSize?: boolean;
  /** `+` and `-` before the size of an existing partition; `enlarge` alone: as far as there is room. */
  readonly resize?: 'enlarge' | 'reduce';
  /** The size may be what is there: none was given. */
  readonly wholeSpace?: boolean;
  /** The id of an MBR's type, or the text of a GPT's. */
  readonly type?: number | string;
  readonly bootable?: boolean;
  readonly uuid?: string;
  readonly name?: string;
  readonly attributes?: string;
}

/** Who is told what comes of a template, in util-linux' words. */
export interface Speaker {
  info(message: string): void;
  warn(message: string): void;
}
