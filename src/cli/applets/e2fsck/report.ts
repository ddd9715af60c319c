import type { ExtCheckResult } from '../../../filesystem/ext/check/check.ts';

/** `x.img: 11/256 files (0.0% non-contiguous), 90/2048 blocks`. */
export function summaryOf(name: string, result: ExtCheckResult): string {
  const { usedInodes, inodeCount, usedBlocks, blockCount } = result;
  return `${name}: ${usedInodes}/${inodeCount} files (${fragmentation(result)}% non-contiguous), ${usedBlocks}/${blockCount} blocks\n`;
}

/** In percent, to a tenth. */
function fragmentation({ fragmentedFiles, fragmentedDirectories, usedInodes }: ExtCheckResult): string {
  const tenths =
    usedInodes === 0
      ? 0
      : Math.floor(
          ((fragmentedFiles + fragmentedDirectories) * 1000 + Math.floor(usedInodes / 2)) / usedInodes,
        );
  return `${Math.floor(tenths / 10)}.${tenths % 10}`;
}

/** What `-v` tells in place of the line above. */
export function statisticsOf(result: ExtCheckResult, hasExtents: boolean): string {
  const { usedInodes, inodeCount, usedBlocks, blockCount, statistics } = result;
  const s = statistics;
  const line = (count: number, text: string): string => `${`${count}`.padStart(12)} ${text}\n`;
  const percent = (part: number, whole: number): string => {
    const hundredths = Math.floor((10000 * part + Math.floor(whole / 2)) / whole);
    return `${Math.floor(hundredths / 100)}.${`${hundredths % 100}`.padStart(2, '0')}`;
  };
  const depths = s.extentDepths.length === 0 ? [0] : Array.from(s.extentDepths, (count) => count ?? 0);
  const fast = s.symlinks === 1 ? 'symbolic link' : 'symbolic links';
  return (
    '\n' +
    line(
      usedInodes,
      `inode${plural(usedInodes)} used (${percent(usedInodes, inodeCount)}%, out of ${inodeCount})`,
    ) +
    line(
      result.fragmentedFiles,
      `non-contiguous file${plural(result.fragmentedFiles)} (${tenth(result.fragmentedFiles, usedInodes)}%)`,
    ) +
    line(
      result.fragmentedDirectories,
      `non-contiguous director${result.fragmentedDirectories === 1 ? 'y' : 'ies'} (${tenth(result.fragmentedDirectories, usedInodes)}%)`,
    ) +
    `             # of inodes with ind/dind/tind blocks: ${s.singleIndirect}/${s.doubleIndirect}/${s.tripleIndirect}\n` +
    (hasExtents ? `             Extent depth histogram: ${depths.join('/')}\n` : '') +
    line(
      usedBlocks,
      `block${plural(usedBlocks)} used (${percent(usedBlocks, blockCount)}%, out of ${blockCount})`,
    ) +
    line(s.badBlocks, `bad block${plural(s.badBlocks)}`) +
    line(s.largeFiles, `large file${plural(s.largeFiles)}`) +
    '\n' +
    line(s.regularFiles, `regular file${plural(s.regularFiles)}`) +
    line(s.directories, `director${s.directories === 1 ? 'y' : 'ies'}`) +
    line(s.characterDevices, `character device file${plural(s.characterDevices)}`) +
    line(s.blockDevices, `block device file${plural(s.blockDevices)}`) +
    line(s.fifos, `fifo${plural(s.fifos)}`) +
    line(s.links, `link${plural(s.links)}`) +
    line(s.symlinks, `${fast} (${s.fastSymlinks} fast symbolic link${plural(s.fastSymlinks)})`) +
    line(s.sockets, `socket${plural(s.sockets)}`) +
    '------------\n' +
    line(
      s.regularFiles +
        s.directories +
        s.characterDevices +
        s.blockDevices +
        s.fifos +
        s.links +
        s.symlinks +
        s.sockets,
      `file${plural(s.regularFiles + s.directories)}`,
    )
  );
}

function tenth(part: number, whole: number): string {
  const tenths = whole === 0 ? 0 : Math.floor((1000 * part + Math.floor(whole / 2)) / whole);
  return `${Math.floor(tenths / 10)}.${tenths % 10}`;
}

function plural(count: number): string {
  return count === 1 ? '' : 's';
}
