import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import type { Context } from './dialog-context.ts';

/** `d` and `D` of the expert menu: bytes of the disk as it is, not as it will be. */

export function printFirstSector(context: Context): void {
  printArea(context, 'First sector', 0, context.disk.sectorSize);
}

export function printLabelData(context: Context): void {
  const { disk } = context;
  const { sectorSize } = disk;
  const { label } = disk;
  if (label === undefined) return;
  if (label.kind === 'gpt') {
    const { editor } = label;
    const tableSize = (editor.tableEndLba - editor.tableLba + 1) * sectorSize;
    const length = Math.min(editor.entryCount * 128, tableSize);
    const backupTable = (editor.alternateLba - (editor.tableEndLba - editor.tableLba + 1)) * sectorSize;
    printArea(context, 'PMBR', 0, 512);
    printArea(context, 'GPT Header', sectorSize, 512);
    printArea(context, 'GPT Entries', editor.tableLba * sectorSize, length);
    printArea(context, 'GPT Backup Entries', backupTable, length);
    printArea(context, 'GPT Backup Header', editor.alternateLba * sectorSize, 512);
    return;
  }
  if (label.kind === 'bsd') return;
  printArea(context, 'MBR', 0, 512);
  for (const { index } of label.editor.partitions.slice(4)) {
    const offset = label.editor.tableSector(index) * sectorSize;
    printArea(context, 'EBR', offset, 512);
  }
}

function printArea({ disk, dialog }: Context, name: string, offset: number, size: number): void {
  dialog.print('\n');
  dialog.info(`${name}: offset = ${offset}, size = ${size} bytes.`);
  dialog.print(hexDump(disk.device, offset, size));
}

/** Sixteen bytes a line; lines like the one before become one `*`. */
function hexDump(device: BlockDevice, offset: number, size: number): string {
  const data = readBytes(device, offset, Math.min(size, Math.max(0, device.size - offset)));
  let text = '';
  let before = '';
  let starred = false;
  for (let at = 0; at < data.length; at += 16) {
    const line = Array.from(data.subarray(at, at + 16), (byte, i) => {
      const hex = byte.toString(16).padStart(2, '0');
      return i === 8 ? ` ${hex}` : hex;
    }).join(' ');
    if (line === before) {
      if (!starred) text += '*\n';
      starred = true;
      continue;
    }
    text += `${(offset + at).toString(16).padStart(8, '0')}  ${line}\n`;
    before = line;
    starred = false;
  }
  return text;
}
