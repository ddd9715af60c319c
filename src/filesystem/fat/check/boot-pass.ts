import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import type { CheckObserver } from '../../check.ts';
import { checkBootSector } from '../boot-sector-check.ts';
import { BootSector, ExtendedBpb32 } from '../boot-sector.ts';
import { fatSectorsOf, type FatGeometry, geometryOf, totalSectorsOf } from '../geometry.ts';
import { checkBackup } from './boot-backup.ts';
import { giveUp } from './context.ts';
import { checkFsInfo } from './fs-info.ts';

const STRUCTURE = 'boot sector';
/** FAT32 has at least this many clusters: Microsoft FAT specification 1.03, section 3.5. */
const FAT32_MIN_CLUSTERS = 65525;

/** Reads and checks the boot sector, its copy and FSInfo; ends the check where nothing can be found by it. */
export function checkBoot(
  device: BlockDevice,
  observer: CheckObserver,
  onBoot?: (sector: Uint8Array, geometry: FatGeometry) => void,
): FatGeometry {
  if (device.size < 512) {
    giveUp(observer, {
      code: 'fat-too-small',
      structure: 'device',
      field: 'size',
      found: `${device.size} bytes`,
      expected: 'at least 512',
      meaning: `The device has ${device.size} bytes, too few for a boot sector of 512`,
      toolText: `Got ${device.size} bytes instead of 512 at 0\n`,
    });
  }
  const sector = readBytes(device, 0, 512);
  const view = viewOf(sector);
  checkFields(view, device.size, observer);
  const geometry = checkLayout(sector, observer);
  onBoot?.(sector, geometry);
  if (geometry.type === 'fat32') {
    checkBackup(device, view, geometry, observer);
    checkFsInfo(device, view, geometry, observer);
  }
  tellNotes(sector, device.size, observer);
  return geometry;
}

/** The fields without which nothing can be computed, in the order in which the reference tool looks at them. */
function checkFields(view: DataView, deviceSize: number, observer: CheckObserver): void {
  const sectorSize = BootSector.BPB_BytsPerSec.get(view, 0);
  const totalSectors = totalSectorsOf(view);
  const fatCount = BootSector.BPB_NumFATs.get(view, 0);
  const refuse = (field: string, offset: number, found: number, expected: string, toolText: string): never =>
    giveUp(observer, {
      code: 'fat-boot-sector',
      structure: STRUCTURE,
      field,
      offset,
      found: `${found}`,
      expected,
      meaning: `${field} of the boot sector is ${found}, expected ${expected}: where anything else lies cannot be told`,
      toolText: `${toolText}\n`,
    });
  if (sectorSize === 0) {
    refuse('BPB_BytsPerSec', 0x00b, 0, 'a power of two from 512 to 32768', 'Logical sector size is zero.');
  }
  if ((sectorSize & (sectorSize - 1)) !== 0 || sectorSize < 512) {
    const text = `Logical sector size (${sectorSize} bytes) is not a multiple of the physical sector size.`;
    refuse('BPB_BytsPerSec', 0x00b, sectorSize, 'a power of two from 512 to 32768', text);
  }
  const perCluster = BootSector.BPB_SecPerClus.get(view, 0);
  if (perCluster === 0)
    refuse('BPB_SecPerClus', 0x00d, 0, 'a power of two from 1 to 128', 'Cluster size is zero.');
  if ((perCluster & (perCluster - 1)) !== 0) {
    const text = `Cluster size (${perCluster} sectors) is not a power of two.`;
    refuse('BPB_SecPerClus', 0x00d, perCluster, 'a power of two from 1 to 128', text);
  }
  if (fatCount !== 1 && fatCount !== 2) {
    const text = `Currently, only 1 or 2 FATs are supported, not ${fatCount}.`;
    refuse('BPB_NumFATs', 0x010, fatCount, '1 or 2', text);
  }
  if (totalSectors === 0 || totalSectors * sectorSize > deviceSize) {
    const is16 = BootSector.BPB_TotSec16.get(view, 0) !== 0;
    giveUp(observer, {
      code: 'fat-truncated',
      structure: STRUCTURE,
      field: is16 ? 'BPB_TotSec16' : 'BPB_TotSec32',
      offset: is16 ? 0x013 : 0x020,
      found: `${totalSectors}`,
      expected: `at most ${Math.floor(deviceSize / sectorSize)}`,
      meaning: `The file system has ${totalSectors} sectors of ${sectorSize} bytes, the device ${deviceSize} bytes`,
      toolText: `Failed to read sector ${(totalSectors - 1) >>> 0}.\n`,
    });
  }
  if (BootSector.BPB_RsvdSecCnt.get(view, 0) === 0) {
    const text = 'Both FATs appear to be corrupt. Giving up. Run fsck.fat with non-zero -F option.';
    refuse('BPB_RsvdSecCnt', 0x00e, 0, 'at least 1', text);
  }
  if (fatSectorsOf(view) === 0) refuse('BPB_FATSz32', 0x024, 0, 'at least 1', 'FAT size is zero.');
}

function checkLayout(sector: Uint8Array, observer: CheckObserver): FatGeometry {
  const view = viewOf(sector);
  const found = geometryOf(sector);
  const rootEntries = BootSector.BPB_RootEntCnt.get(view, 0);
  const isFat32 = found.type === 'fat32';
  // On FAT32 the field is 0; where it is not, Linux and dosfstools leave room for such a directory all the same.
  const rootSize = Math.ceil((rootEntries * 32) / found.sectorSize) * found.sectorSize;
  const dataOffset = found.rootOffset + rootSize;
  const end = totalSectorsOf(view) * found.sectorSize;
  const clusterCount = Math.floor((end - dataOffset) / found.clusterSize);
  const refuse = (
    code: string,
    field: string,
    offset: number,
    value: number,
    expected: string,
    text: string,
  ) =>
    giveUp(observer, {
      code,
      structure: STRUCTURE,
      field,
      offset,
      found: `${value}`,
      expected,
      meaning: `${field} of the boot sector is ${value}, expected ${expected}`,
      toolText: `${text}\n`,
    });
  if (clusterCount < 1) {
    const text = 'Filesystem has no space for any data clusters';
    refuse('fat-boot-sector', 'BPB_TotSec32', 0x020, totalSectorsOf(view), 'room for a cluster', text);
  }
  if (isFat32) checkRoot32(view, clusterCount, observer);
  else if (found.type === 'fat16' && clusterCount > 65524) {
    const text = `Too many clusters (${clusterCount}) for FAT16 filesystem.`;
    refuse('fat-boot-sector', 'number of clusters', 0x016, clusterCount, 'at most 65524 on FAT16', text);
  }
  const entries = Math.floor((found.fatSize * 8) / Number(found.type.slice(3)));
  if (clusterCount > entries - 2) {
    const text = `Filesystem has ${clusterCount} clusters but only space for ${entries - 2} FAT entries.`;
    const field = isFat32 ? 'BPB_FATSz32' : 'BPB_FATSz16';
    refuse(
      'fat-boot-sector',
      field,
      isFat32 ? 0x024 : 0x016,
      fatSectorsOf(view),
      `a FAT for ${clusterCount} clusters`,
      text,
    );
  }
  if (!isFat32) {
    if (rootEntries === 0)
      refuse('fat-boot-sector', 'BPB_RootEntCnt', 0x011, 0, 'at least 1', 'Root directory has zero size.');
    if ((rootEntries * 32) % found.sectorSize !== 0) {
      const text = `Root directory (${rootEntries} entries) doesn't span an integral number of sectors.`;
      refuse(
        'fat-boot-sector',
        'BPB_RootEntCnt',
        0x011,
        rootEntries,
        'a number that fills whole sectors',
        text,
      );
    }
  }
  return { ...found, rootSize: isFat32 ? 0 : rootSize, dataOffset, clusterCount };
}

function checkRoot32(view: DataView, clusterCount: number, observer: CheckObserver): void {
  const rootCluster = ExtendedBpb32.BPB_RootClus.get(view, 0);
  const rootEntries = BootSector.BPB_RootEntCnt.get(view, 0);
  if (rootCluster === 0) {
    giveUp(observer, {
      code: 'fat-no-root',
      structure: STRUCTURE,
      field: 'BPB_RootClus',
      offset: 0x02c,
      found: '0',
      expected: `a cluster from 2 to ${clusterCount + 1}`,
      meaning: 'The boot sector names no cluster for the root directory',
      toolText: 'No root directory!\n',
    });
  }
  if (rootEntries !== 0) {
    observer.report({
      code: 'fat-root-entries',
      severity: 'warning',
      structure: STRUCTURE,
      field: 'BPB_RootEntCnt',
      offset: 0x011,
      found: `${rootEntries}`,
      expected: '0 on FAT32',
      meaning: `The boot sector has both a root directory of ${rootEntries} entries and one that starts at cluster ${rootCluster}`,
      toolText:
        'Warning: FAT32 root dir is in a cluster chain, but a separate root dir\n  area is defined. Cannot fix this easily.\n',
    });
  }
  if (clusterCount < FAT32_MIN_CLUSTERS) {
    observer.report({
      code: 'fat-few-clusters',
      severity: 'note',
      structure: STRUCTURE,
      field: 'number of clusters',
      found: `${clusterCount}`,
      expected: `at least ${FAT32_MIN_CLUSTERS} on FAT32`,
      meaning: `With ${clusterCount} clusters some systems take this FAT32 for FAT16: it should have ${FAT32_MIN_CLUSTERS}`,
      toolText:
        'Warning: Filesystem is FAT32 according to fat_length and fat32_length fields,\n' +
        `  but has only ${clusterCount} clusters, less than the required minimum of ${FAT32_MIN_CLUSTERS}.\n` +
        '  This may lead to problems on some systems.\n',
    });
  }
}

/** What only we look at: nothing that follows depends on it. */
function tellNotes(sector: Uint8Array, deviceSize: number, observer: CheckObserver): void {
  const known = new Set(['BPB_RootEntCnt', 'BPB_RootClus', 'BPB_FSInfo', 'BPB_FATSz16', 'BPB_FATSz32']);
  for (const { severity, structure, field, offset, found, expected } of checkBootSector(sector, deviceSize)) {
    if (known.has(field)) continue;
    observer.report({
      code: 'fat-boot-sector-field',
      severity: severity === 'note' ? 'note' : 'warning',
      structure,
      field,
      ...(offset !== undefined && { offset }),
      found,
      expected,
      meaning: `${field} of the boot sector is ${found}, expected ${expected}`,
      toolText: '',
    });
  }
}
