import { cylinderSize } from '../../../bytes/chs.ts';
import { partitionTypeName } from '../../../partition/mbr-type.ts';
import type { Disk } from './disk.ts';
import { inUnits } from './listing.ts';

/**
 * The listing of fdisk before util-linux 2.23, which counts in blocks of 1 KiB: what a disk whose geometry is given on the command line
 * has been shown as in every tutorial.
 *
 *     Disk c.img: 516 MB, 516096000 bytes
 *     16 heads, 63 sectors/track, 1000 cylinders, total 1008000 sectors
 *     Units = sectors of 1 * 512 = 512 bytes
 *
 *     Device Boot      Start         End      Blocks   Id  System
 *     c.img1   *          63     1007999      503968+  83  Linux
 */
export function classicListing(disk: Disk): string[] {
  const { layout, name, editor } = disk;
  const { geometry, sectorSize, sectorCount } = layout;
  const size = sectorCount * sectorSize;
  const unit = disk.cylinders ? cylinderSize(geometry) : 1;
  const total = disk.cylinders ? '' : `, total ${sectorCount} sectors`;
  const lines = [
    `Disk ${name}: ${decimalSize(size)}, ${size} bytes`,
    `${geometry.heads} heads, ${geometry.sectorsPerTrack} sectors/track, ${geometry.cylinders} cylinders${total}`,
    `Units = ${disk.cylinders ? 'cylinders' : 'sectors'} of ${unit} * ${sectorSize} = ${unit * sectorSize} bytes`,
  ];
  const partitions = editor?.partitions.filter(({ used }) => used) ?? [];
  if (partitions.length === 0) return lines;
  const digit = /\d$/.test(name) ? 'p' : '';
  const width = Math.max(name.length + digit.length, 5);
  lines.push('', `${'Device'.padStart(width + 1)} Boot      Start         End      Blocks   Id  System`);
  for (const partition of partitions) {
    const { entry, startSector, endSector } = partition;
    const bytes = partition.sectorCount * sectorSize;
    const odd = bytes % 1024 === 0 ? ' ' : '+';
    const device = `${name}${digit}`.padStart(width) + String(partition.index + 1).padEnd(2);
    const active = entry.bootIndicator === 0x80 ? '*' : entry.bootIndicator === 0 ? ' ' : '?';
    const columns = [inUnits(disk, startSector), inUnits(disk, endSector), Math.floor(bytes / 1024)];
    lines.push(
      `${device}  ${active}${columns.map((number) => String(number).padStart(12)).join('')}${odd}  ` +
        `${entry.type.toString(16).padStart(2)}  ${partitionTypeName(entry.type)}`,
    );
  }
  return lines;
}

/** `516 MB`, from 10 GB on `21.5 GB`: powers of 1000. */
function decimalSize(size: number): string {
  const megabytes = Math.floor(size / 1_000_000);
  if (megabytes < 10_000) return `${megabytes} MB`;
  const tenths = Math.floor((megabytes + 50) / 100);
  return `${Math.floor(tenths / 10)}.${tenths % 10} GB`;
}
