import type { Finding } from '../errors.ts';

/** The ways in which a partition table can be at fault. */
export type TableFault =
  /** The image was made for sectors of another size than it is taken for. */
  | 'sector-size'
  /** The master boot record guards a GPT that cannot be read. */
  | 'unreadable-gpt'
  /** A GPT is there, and no protective master boot record tells of it. */
  | 'protective-missing'
  /** The protective entry does not cover the disk. */
  | 'protective-size'
  /** One of the two headers, or its table, cannot be used: signature, CRC, place, numbers that make no sense. */
  | 'header'
  /** Both headers are whole and say different things. */
  | 'headers-differ'
  /** The backup is not at the end of the device: the image grew or shrank. */
  | 'backup-place'
  /** The sectors that a header leaves to partitions hold one of its own tables. */
  | 'usable-range'
  /** A partition lies outside of the sectors that the header leaves to partitions. */
  | 'outside-usable'
  /** Two entries, or two disks' worth of them, have one GUID. */
  | 'duplicate-guid'
  | 'several-extended'
  /** The chain of extended boot records returns to where it was, leaves the device, or is too long. */
  | 'chain-link'
  /** An extended boot record is none. */
  | 'chain-signature'
  /** A logical partition lies outside of the extended one. */
  | 'outside-extended'
  /** A partition lies over a sector that holds the table. */
  | 'covers-table'
  | 'past-end'
  | 'overlap'
  /** An entry with a type and without sectors. */
  | 'zero-length'
  | 'several-active'
  /** An address in cylinders, heads and sectors is not that of the sector number beside it. */
  | 'chs'
  /** The checksum of a BSD disklabel is not that of its words. */
  | 'label-checksum'
  /** The boot sector in a partition names another place as its own. */
  | 'hidden-sectors';

/** What is wrong with a partition table, where, and what of it a partition's entry is concerned. */
export interface TableFinding extends Finding {
  readonly fault: TableFault;
  /** The partition's number, where it is one partition's fault. */
  readonly partition?: number;
  /** What a person can do about what no rule can decide. */
  readonly advice?: string;
}

export const OVERLAP_ADVICE =
  'Which of the two is right the table cannot tell; look into both, then delete or resize one with fdisk or sfdisk';
