import { formatSize } from '../bytes/size.ts';
import type {
  FileSystemReport,
  FindingReport,
  ImageReport,
  PartitionReport,
  TableReport,
} from './inspect.ts';

/** An image's report as lines for people. `name`: what the image is called. */
export function renderImageReport(report: ImageReport, name: string): string[] {
  const { size, sectorSize, bootCode, table, findings, fileSystems } = report;
  const lines = [
    `${name}: ${amount(size)}, ${Math.floor(size / sectorSize)} sectors of ${sectorSize} bytes`,
    `Boot code: ${bootCode.name}`,
  ];
  if (table === undefined) lines.push('Partition table: none');
  else {
    lines.push(
      `Partition table: ${tableKind(table)}, disk identifier ${table.diskIdentifier}${table.sectorSize === sectorSize ? '' : `, made for ${table.sectorSize}-byte sectors`}`,
    );
    if (table.partitions.length > 0) {
      lines.push(
        '',
        ...(table.kind === 'gpt'
          ? renderGptPartitions(table.partitions)
          : renderPartitions(table.partitions)),
      );
    }
  }
  // What sectors it was made for is told above.
  const faults = findings.filter(({ fault }) => fault !== 'sector-size');
  if (faults.length > 0) lines.push('', ...faults.flatMap(renderFinding));
  for (const fileSystem of fileSystems) lines.push('', ...renderFileSystem(fileSystem));
  if (fileSystems.length === 0) lines.push('', 'No file system that userloop knows was found');
  return lines;
}

function renderFinding({ text, advice, mend }: FindingReport): string[] {
  return [
    `Note: ${text}`,
    ...(advice === undefined ? [] : [`      ${advice}`]),
    ...(mend === undefined ? [] : [`      inspect --repair would ${mend}`]),
  ];
}

function tableKind(table: TableReport): string {
  if (table.kind === 'gpt') return table.hybrid ? 'GPT with a hybrid MBR' : 'GPT';
  if (table.kind === 'bsd') return 'BSD disklabel';
  return table.protective ? 'MBR (protects a GPT, which cannot be read)' : 'MBR';
}

function renderGptPartitions(partitions: readonly PartitionReport[]): string[] {
  return renderRows(
    [
      ['Nr', 'Start', 'Sectors', 'Size', 'Type', 'Name'],
      ...partitions.map((each) => [
        `${each.number}`,
        `${each.startSector}`,
        `${each.sectorCount}`,
        formatSize(each.size),
        each.typeName === 'unknown' ? each.type : each.typeName,
        each.name ?? '',
      ]),
    ],
    new Set([0, 1, 2, 3]),
  );
}

function renderPartitions(partitions: readonly PartitionReport[]): string[] {
  const rows = [
    ['Nr', 'Boot', 'Start', 'Sectors', 'Size', 'Id', 'Type', 'Boot code'],
    ...partitions.map((each) => [
      `${each.number}`,
      each.active ? '*' : '',
      `${each.startSector}`,
      `${each.sectorCount}`,
      formatSize(each.size),
      each.type.slice(2),
      each.typeName,
      each.bootCode?.name ?? 'past the end of the image',
    ]),
  ];
  return renderRows(rows, new Set([0, 2, 3, 4]));
}

function renderRows(rows: readonly (readonly string[])[], right: ReadonlySet<number>): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        right.has(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
}

function renderFileSystem({ partition, offset, size, error, details }: FileSystemReport): string[] {
  const where =
    partition === undefined ? (offset === 0 ? 'Whole image' : `At byte ${offset}`) : `Partition ${partition}`;
  if (details === undefined)
    return [`${where}: a file system that cannot be opened`, `  Because:    ${error ?? ''}`];
  const {
    type,
    label,
    uuid,
    features,
    state,
    blockSize,
    totalBlocks,
    freeBlocks,
    availableBlocks,
    totalNodes,
    freeNodes,
    readOnlyReason,
  } = details;
  const unit = type.startsWith('fat') ? 'clusters' : 'blocks';
  const used = totalBlocks - freeBlocks;
  const lines = [
    `${where}: ${type}, ${amount(size)}, ${state}`,
    `  Label:      ${label === '' ? '(none)' : label}`,
    `  UUID:       ${uuid}`,
    `  Space:      ${formatSize(totalBlocks * blockSize)}, ${formatSize(used * blockSize)} used, ${formatSize(availableBlocks * blockSize)} available (${totalBlocks} ${unit} of ${blockSize} bytes)`,
  ];
  if (totalNodes > 0) lines.push(`  Inodes:     ${totalNodes}, ${totalNodes - freeNodes} used`);
  if (features.length > 0) lines.push(`  Features:   ${features.join(' ')}`);
  if (readOnlyReason !== undefined) lines.push(`  Read-only:  ${readOnlyReason}`);
  return lines;
}

function amount(size: number): string {
  return `${formatSize(size)} (${size} bytes)`;
}
