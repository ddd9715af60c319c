import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import { CheckEnd, type CheckFinding, type CheckObserver } from '../../check.ts';
import { BootSector, ExtendedBpb32 } from '../boot-sector.ts';
import type { FatGeometry } from '../geometry.ts';
import { choice } from './context.ts';

const STRUCTURE = 'boot sector';
const DEFAULT_BACKUP_SECTOR = 6;

/** The copy of the boot sector that FAT32 has. */
export function checkBackup(
  device: BlockDevice,
  view: DataView,
  geometry: FatGeometry,
  observer: CheckObserver,
): void {
  const { sectorSize } = geometry;
  const reserved = BootSector.BPB_RsvdSecCnt.get(view, 0);
  const backup = ExtendedBpb32.BPB_BkBootSec.get(view, 0);
  if (backup === 0 || (backup + 1) * sectorSize > device.size) {
    createBackup(device, reserved, sectorSize, observer);
    return;
  }
  const original = new Uint8Array(view.buffer, view.byteOffset, 512);
  const copy = readBytes(device, backup * sectorSize, 512);
  const differences: string[] = [];
  for (let i = 0; i < 512; i++) {
    if (original[i] !== copy[i]) differences.push(`${i}:${hex(original[i]!)}/${hex(copy[i]!)}`);
  }
  if (differences.length === 0) return;
  const first = Number(differences[0]!.split(':')[0]);
  const finding: CheckFinding = {
    code: 'fat-backup-boot-sector',
    severity: 'warning',
    structure: 'backup boot sector',
    field: 'bytes',
    offset: backup * sectorSize + first,
    found: `${differences.length} bytes that differ, the first at ${first}`,
    expected: 'the same bytes as in the boot sector',
    meaning: `The copy of the boot sector in sector ${backup} differs from it in ${differences.length} bytes`,
    toolText:
      'There are differences between boot sector and its backup.\n' +
      `This is mostly harmless. Differences: (offset:original/backup)\n${wrapDifferences(differences)}\n`,
    mend: choice(
      [
        ['Copy original to backup', `writes the boot sector over its copy in sector ${backup}`],
        ['Copy backup to original', `writes the copy in sector ${backup} over the boot sector`],
        ['No action', ''],
      ],
      2,
      '  Not automatically fixing this.\n',
    ),
  };
  const chosen = observer.report(finding);
  if (chosen === 0) device.write(backup * sectorSize, original);
  if (chosen === 1) {
    device.write(0, copy);
    throw new BootSectorChanged('the boot sector was replaced by its copy');
  }
}

/** The check has to begin anew with the new boot sector. */
export class BootSectorChanged extends CheckEnd {}

/** As many differences a line as the reference tool has. */
function wrapDifferences(differences: readonly string[]): string {
  let text = '  ';
  let column = 2;
  for (const [index, difference] of differences.entries()) {
    const separator = index === 0 ? '' : ', ';
    if (index > 0 && column + difference.length + 2 > 79) {
      text += `,\n  ${difference}`;
      column = 2 + difference.length;
      continue;
    }
    text += separator + difference;
    column += separator.length + difference.length;
  }
  return text;
}

function createBackup(
  device: BlockDevice,
  reserved: number,
  sectorSize: number,
  observer: CheckObserver,
): void {
  const old = viewOf(readBytes(device, 0, 512));
  const backup = ExtendedBpb32.BPB_BkBootSec.get(old, 0);
  const fsInfo = ExtendedBpb32.BPB_FSInfo.get(old, 0);
  let sector = 0;
  if (reserved >= 3) {
    if (fsInfo !== DEFAULT_BACKUP_SECTOR && reserved >= DEFAULT_BACKUP_SECTOR + 1)
      sector = DEFAULT_BACKUP_SECTOR;
    else sector = fsInfo === reserved - 1 ? reserved - 2 : reserved - 1;
  }
  const finding: CheckFinding = {
    code: 'fat-no-backup-boot-sector',
    severity: 'warning',
    structure: STRUCTURE,
    field: 'BPB_BkBootSec',
    offset: 0x032,
    found: `${backup}`,
    expected: 'the sector of a copy, usually 6',
    meaning: 'There is no copy of the boot sector, which FAT32 should have',
    toolText: `There is no backup boot sector.\n${sector === 0 ? 'And there is no space for creating one!\n' : ''}`,
    ...(sector !== 0 && {
      mend: choice(
        [
          ['Create one', `copies the boot sector to sector ${sector}`],
          ['Do without a backup', ''],
        ],
        0,
        '  Auto-creating backup boot block.\n',
      ),
    }),
  };
  if (observer.report(finding) !== 0 || sector === 0) return;
  const boot = readBytes(device, 0, 512);
  ExtendedBpb32.BPB_BkBootSec.set(viewOf(boot), 0, sector);
  device.write(0, boot);
  device.write(sector * sectorSize, boot);
  observer.tell(`Created backup of boot sector in sector ${sector}\n`);
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
