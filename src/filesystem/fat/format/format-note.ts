import { FsError } from '../../../errors.ts';
import type { FatBits } from './layout.ts';

/** What formatting decides on its way, in the order in which it decides; `mkfs.fat -v` prints it. */
export type FormatNote =
  | { readonly kind: 'fat32-selected' }
  | { readonly kind: 'root-entries-ignored' }
  | { readonly kind: 'boot-jump'; readonly first: number; readonly second: number }
  | { readonly kind: 'reserved-sectors'; readonly count: number }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'alignment-disabled' }
  | { readonly kind: 'cluster-size-tried'; readonly sectorsPerCluster: number }
  | FatTrial
  | { readonly kind: 'few-clusters' }
  | { readonly kind: 'fat-bits'; readonly fatBits: FatBits }
  | { readonly kind: 'atari-sector-size'; readonly sectorSize: number; readonly limit: number }
  | AtariTrial
  | { readonly kind: 'mbr' }
  | { readonly kind: 'backup-boot-sector'; readonly sector: number }
  | { readonly kind: 'many-atari-sectors' }
  | { readonly kind: 'boot-message-truncated' };

/** One size of cluster tried with one kind of FAT. */
export interface FatTrial {
  readonly kind: 'fat-tried';
  readonly fatBits: FatBits;
  readonly clusterCount: number;
  readonly fatSectors: number;
  /** Clusters that a FAT of that length can number. */
  readonly maxClusters: number;
  readonly verdict: 'fits' | 'too-many' | 'too-few';
}

/** One size of logical sector tried for GEMDOS. */
export interface AtariTrial {
  readonly kind: 'atari-tried';
  readonly sectorSize: number;
  readonly clusterCount: number;
  readonly fatSectors: number;
  readonly maxClusters: number;
  readonly verdict: 'fits' | 'too-many' | 'fat-too-big';
}

export type NoteTaker = (note: FormatNote) => void;

/** What was asked for cannot be: EINVAL, with the sentence in `detail`. */
export function formatError(detail: string): FsError {
  return new FsError('EINVAL', { syscall: 'format', detail });
}
