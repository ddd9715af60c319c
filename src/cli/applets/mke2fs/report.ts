import { formatUuid } from '../../../bytes/uuid.ts';
import { CreatorOs } from '../../../filesystem/ext/format/parameters.ts';
import { backupGroupsOf, type ExtLayout, groupFirstBlock } from '../../../filesystem/ext/format/layout.ts';
import type { Io } from '../../io.ts';

/** A counter that is wiped again: the work is done before a second is over. */
export function progress(label: string, total: number, end: string): string {
  const counter = `${'0'.padStart(String(total).length)}/${total}`;
  const back = '\b'.repeat(counter.length);
  return `${label}${counter}${back}${' '.repeat(counter.length)}${back}${end}`;
}

export const DONE = 'done                            \n';

/** What the volume will be like: a line and the backups, or with `-v` everything. */
export function printLayout(io: Io, layout: ExtLayout, verbose: boolean): void {
  if (verbose && layout.unusedBlockCount > 0)
    io.stderr.write(`warning: ${layout.unusedBlockCount} blocks unused.\n\n`);
  let text = verbose ? describe(layout) : summarize(layout);
  if (layout.groupCount > 1) {
    text += `Filesystem UUID: ${formatUuid(layout.parameters.options.uuid)}\n`;
    text += 'Superblock backups stored on blocks: ';
    text += backupList(layout);
  }
  io.stdout.write(`${text}\n`);
}

function summarize(layout: ExtLayout): string {
  const size = layout.blockSize / 1024;
  return `Creating filesystem with ${layout.blockCount} ${size}k blocks and ${layout.inodeCount} inodes\n`;
}

function describe(layout: ExtLayout): string {
  const { parameters, blockSize, groupCount, clusterBlocks, descriptorSize } = layout;
  const label = Buffer.from(parameters.options.label ?? []).toString();
  const log = Math.log2(blockSize) - 10;
  const percent = ((100 * layout.reservedBlockCount) / layout.blockCount).toFixed(2);
  const lines = [
    `Filesystem label=${label}`,
    `OS type: ${osName(parameters.creatorOs)}`,
    `Block size=${blockSize} (log=${log})`,
    clusterBlocks > 1
      ? `Cluster size=${blockSize * clusterBlocks} (log=${log + Math.log2(clusterBlocks)})`
      : `Fragment size=${blockSize} (log=${log})`,
    `Stride=${parameters.stride} blocks, Stripe width=${parameters.stripeWidth} blocks`,
    `${layout.inodeCount} inodes, ${layout.blockCount} blocks`,
    `${layout.reservedBlockCount} blocks (${percent}%) reserved for the super user`,
    `First data block=${layout.firstDataBlock}`,
  ];
  const owner = parameters.options.rootOwner;
  if (owner !== undefined && (owner.uid !== 0 || owner.gid !== 0))
    lines.push(`Root directory owner=${owner.uid}:${owner.gid}`);
  if (layout.reservedDescriptorBlocks > 0) {
    const descriptors = layout.reservedDescriptorBlocks + layout.descriptorBlocks;
    lines.push(
      `Maximum filesystem blocks=${descriptors * (blockSize / descriptorSize) * layout.blocksPerGroup}`,
    );
  }
  lines.push(
    groupCount > 1 ? `${groupCount} block groups` : `${groupCount} block group`,
    `${layout.blocksPerGroup} blocks per group, ${layout.blocksPerGroup / clusterBlocks} ${
      clusterBlocks > 1 ? 'clusters' : 'fragments'
    } per group`,
    `${layout.inodesPerGroup} inodes per group`,
  );
  return `${lines.join('\n')}\n`;
}

/** Block numbers on lines of at most 72 columns, each with the comma and space that follow it. */
function backupList(layout: ExtLayout): string {
  let text = '';
  let columnsLeft = 0;
  for (const group of backupGroupsOf(layout)) {
    const number = String(groupFirstBlock(layout, group));
    if (text !== '') text += ', ';
    if (number.length + 2 > columnsLeft) {
      text += '\n\t';
      columnsLeft = 72;
    }
    text += number;
    columnsLeft -= number.length + 2;
  }
  return `${text}\n`;
}

function osName(creatorOs: number): string {
  switch (creatorOs) {
    case CreatorOs.linux:
      return 'Linux';
    case CreatorOs.hurd:
      return 'Hurd';
    case CreatorOs.masix:
      return 'Masix';
    case CreatorOs.freebsd:
      return 'FreeBSD';
    case CreatorOs.lites:
      return 'Lites';
    default:
      return '(unknown os)';
  }
}
