import type { FatTrial, FormatNote } from '../../../filesystem/fat/format/format-note.ts';
import { type FatLayout, rootDirectorySectors } from '../../../filesystem/fat/format/layout.ts';

/** A line of mkfs.fat's, where it goes, and from how many `-v` on. */
export interface Line {
  readonly stream: 'stdout' | 'stderr';
  readonly verbosity: number;
  readonly text: string;
}

/** The words of dosfstools 4.2 for a decision, spelling included. */
export function lineOf(note: FormatNote): Line {
  switch (note.kind) {
    case 'fat32-selected':
      return { stream: 'stdout', verbosity: 1, text: 'Auto-selecting FAT32 for large filesystem' };
    case 'root-entries-ignored':
      return warning('Warning: root directory entries specified with -r have no effect on FAT32');
    case 'boot-jump':
      return detail(`Boot jump code is ${hex(note.first, 2)} ${hex(note.second, 2)}`);
    case 'reserved-sectors':
      return detail(`Using ${note.count} reserved sectors`);
    case 'too-large':
      return {
        stream: 'stdout',
        verbosity: 0,
        text: 'Warning: target too large, space at end will be left unused',
      };
    case 'alignment-disabled':
      return detail('Disabling alignment due to tiny filesystem');
    case 'cluster-size-tried':
      return detail(`Trying with ${note.sectorsPerCluster} sectors/cluster:`);
    case 'fat-tried':
      return detail(describeTrial(note));
    case 'few-clusters':
      return warning('WARNING: Number of clusters for 32 bit FAT is less then suggested minimum.');
    case 'fat-bits':
      return detail(`Choosing ${note.fatBits} bits for FAT`);
    case 'atari-sector-size':
      return detail(`Sector size must be ${note.sectorSize} to have less than ${note.limit} log. sectors`);
    case 'atari-tried': {
      const trial =
        `ss=${note.sectorSize}: #clu=${note.clusterCount | 0}, ` +
        `fat_len=${note.fatSectors}, maxclu=${note.maxClusters}`;
      if (note.verdict === 'fits') return detail(trial);
      return detail(`${trial}\n${note.verdict === 'too-many' ? 'Too many clusters' : 'FAT too big'}`);
    }
    case 'mbr':
      return { stream: 'stdout', verbosity: 1, text: 'Adding MBR table' };
    case 'backup-boot-sector':
      return detail(`Using sector ${note.sector} as backup boot sector (0 = none)`);
    case 'many-atari-sectors':
      return {
        stream: 'stdout',
        verbosity: 0,
        text: 'Warning: More than 32765 sector need TOS 1.04 or higher.',
      };
    case 'boot-message-truncated':
      return { stream: 'stdout', verbosity: 0, text: 'Warning: message too long; truncated' };
  }
}

function detail(text: string): Line {
  return { stream: 'stdout', verbosity: 2, text };
}

function warning(text: string): Line {
  return { stream: 'stderr', verbosity: 0, text };
}

function describeTrial(trial: FatTrial): string {
  const name = `Trying FAT${trial.fatBits}:`;
  const limits = { 12: '4084', 16: '4087/65524', 32: '65525/268435446' };
  const numbers =
    `${name} #clu=${trial.clusterCount}, fatlen=${trial.fatSectors}, ` +
    `maxclu=${trial.maxClusters}, limit=${limits[trial.fatBits]}`;
  switch (trial.verdict) {
    case 'fits':
      return numbers;
    case 'too-many':
      return `${numbers}\n${name} too much clusters`;
    case 'too-few': {
      const consequence = trial.fatBits === 16 ? ', would be misdetected as FAT12' : '';
      return `${numbers}\n${name} not enough clusters${consequence}`;
    }
  }
}

/** What `-v` says of the result. */
export function describeLayout(target: string, layout: FatLayout, label: string | undefined): string {
  const { fatBits } = layout;
  const reserved = layout.reservedSectors;
  const lines = [
    `${target} has ${count(layout.heads, 'head')} and ${count(layout.sectorsPerTrack, 'sector')} per track,`,
    `hidden sectors 0x${hex(layout.hiddenSectors, 4)};`,
    `logical sector size is ${layout.sectorSize},`,
    `using 0x${hex(layout.media, 2)} media descriptor, with ${layout.totalSectors} sectors;`,
    `drive number 0x${hex(layout.driveNumber, 2)};`,
    `filesystem has ${layout.fatCount} ${fatBits}-bit FAT${layout.fatCount === 1 ? '' : 's'} ` +
      `and ${count(layout.sectorsPerCluster, 'sector')} per cluster.`,
    `FAT size is ${count(layout.fatSectors, 'sector')}, and provides ${count(layout.clusterCount, 'cluster')}.`,
    `There ${reserved === 1 ? 'is' : 'are'} ${count(reserved, 'reserved sector')}.`,
  ];
  if (fatBits !== 32) {
    const sectors = rootDirectorySectors(layout);
    lines.push(`Root directory contains ${layout.rootEntryCount} slots and uses ${sectors} sectors.`);
  }
  const name = label === undefined ? 'no volume label' : `volume label ${label}`;
  lines.push(`Volume ID is ${hex(layout.volumeId, 8)}, ${name}.`);
  return lines.join('\n');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function hex(number: number, digits: number): string {
  return number.toString(16).padStart(digits, '0');
}
