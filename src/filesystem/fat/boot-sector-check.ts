import { viewOf } from '../../bytes/struct.ts';
import type { Finding } from '../../errors.ts';
import { BootSector, ExtendedBpb32 } from './boot-sector.ts';
import { fatSectorsOf, geometryOf, totalSectorsOf } from './geometry.ts';

/** A rule looks at one thing and gives what it finds, or undefined. */
type Rule = (view: DataView, deviceSize: number) => Finding | undefined;

/** These keep the arithmetic sound; the layout rules run only when none of them refuses. */
const FIELD_RULES: readonly Rule[] = [
  checkBytesPerSector,
  checkSectorsPerCluster,
  checkReservedSectors,
  checkFatCount,
  checkFatSize,
  checkTotalSectors,
  checkRootEntries,
  checkVersion,
  checkActiveFat,
  checkMedia,
  checkJump,
  checkSignature,
];

const LAYOUT_RULES: readonly Rule[] = [
  checkRegionsFit,
  checkDeviceSize,
  checkClusterCount,
  checkFatCoversClusters,
  checkRootCluster,
  checkFsInfoSector,
];

/** What is wrong with a boot sector. `sector` is its first 512 bytes, `deviceSize` in bytes. */
export function checkBootSector(sector: Uint8Array, deviceSize: number): Finding[] {
  const view = viewOf(sector);
  const findings = apply(FIELD_RULES, view, deviceSize);
  if (findings.some((finding) => finding.severity === 'refuse')) return findings;
  return [...findings, ...apply(LAYOUT_RULES, view, deviceSize)];
}

function apply(rules: readonly Rule[], view: DataView, deviceSize: number): Finding[] {
  const findings: Finding[] = [];
  for (const rule of rules) {
    const finding = rule(view, deviceSize);
    if (finding !== undefined) findings.push(finding);
  }
  return findings;
}

function finding(
  severity: Finding['severity'],
  field: string,
  offset: number,
  found: number | string,
  expected: string,
): Finding {
  return { severity, structure: 'boot sector', field, offset, found: `${found}`, expected };
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

function checkBytesPerSector(view: DataView): Finding | undefined {
  const value = BootSector.BPB_BytsPerSec.get(view, 0);
  if (isPowerOfTwo(value) && value >= 512 && value <= 32768) return undefined;
  return finding('refuse', 'BPB_BytsPerSec', 0x00b, value, 'a power of two from 512 to 32768');
}

function checkSectorsPerCluster(view: DataView): Finding | undefined {
  const value = BootSector.BPB_SecPerClus.get(view, 0);
  if (isPowerOfTwo(value)) return undefined;
  return finding('refuse', 'BPB_SecPerClus', 0x00d, value, 'a power of two from 1 to 128');
}

function checkReservedSectors(view: DataView): Finding | undefined {
  if (BootSector.BPB_RsvdSecCnt.get(view, 0) !== 0) return undefined;
  return finding('refuse', 'BPB_RsvdSecCnt', 0x00e, 0, 'at least 1');
}

function checkFatCount(view: DataView): Finding | undefined {
  const value = BootSector.BPB_NumFATs.get(view, 0);
  if (value === 1 || value === 2) return undefined;
  return finding(value === 0 ? 'refuse' : 'note', 'BPB_NumFATs', 0x010, value, '1 or 2');
}

function checkFatSize(view: DataView): Finding | undefined {
  if (fatSectorsOf(view) !== 0) return undefined;
  return finding('refuse', 'BPB_FATSz32', 0x024, 0, 'at least 1, since BPB_FATSz16 is 0');
}

function checkTotalSectors(view: DataView): Finding | undefined {
  if (totalSectorsOf(view) !== 0) return undefined;
  return finding('refuse', 'BPB_TotSec32', 0x020, 0, 'at least 1, since BPB_TotSec16 is 0');
}

function checkRootEntries(view: DataView): Finding | undefined {
  const value = BootSector.BPB_RootEntCnt.get(view, 0);
  if (BootSector.BPB_FATSz16.get(view, 0) === 0) {
    return value === 0 ? undefined : finding('note', 'BPB_RootEntCnt', 0x011, value, '0 on FAT32');
  }
  if (value === 0) return finding('refuse', 'BPB_RootEntCnt', 0x011, 0, 'at least 1 on FAT12 and FAT16');
  if ((value * 32) % BootSector.BPB_BytsPerSec.get(view, 0) === 0) return undefined;
  return finding('note', 'BPB_RootEntCnt', 0x011, value, 'a number that fills whole sectors');
}

function checkVersion(view: DataView): Finding | undefined {
  if (BootSector.BPB_FATSz16.get(view, 0) !== 0) return undefined;
  const value = ExtendedBpb32.BPB_FSVer.get(view, 0);
  return value === 0 ? undefined : finding('refuse', 'BPB_FSVer', 0x02a, value, '0, the only version');
}

function checkActiveFat(view: DataView): Finding | undefined {
  if (BootSector.BPB_FATSz16.get(view, 0) !== 0) return undefined;
  const flags = ExtendedBpb32.BPB_ExtFlags.get(view, 0);
  const count = BootSector.BPB_NumFATs.get(view, 0);
  if ((flags & 0x80) === 0 || (flags & 0x0f) < count) return undefined;
  return finding('refuse', 'BPB_ExtFlags', 0x028, flags, `an active FAT below ${count}`);
}

export function isMedia(value: number): boolean {
  return value === 0xf0 || value >= 0xf8;
}

function checkMedia(view: DataView): Finding | undefined {
  const value = BootSector.BPB_Media.get(view, 0);
  if (isMedia(value)) return undefined;
  return finding('note', 'BPB_Media', 0x015, `0x${value.toString(16)}`, '0xf0 or 0xf8 to 0xff');
}

function checkJump(view: DataView): Finding | undefined {
  const first = view.getUint8(0);
  if (first === 0xe9 || (first === 0xeb && view.getUint8(2) === 0x90)) return undefined;
  return finding('note', 'BS_jmpBoot', 0, `0x${first.toString(16)}`, '0xe9, or 0xeb with 0x90 after it');
}

function checkSignature(view: DataView): Finding | undefined {
  const value = BootSector.Signature_word.get(view, 0);
  if (value === 0xaa55) return undefined;
  return finding('note', 'Signature_word', 0x1fe, `0x${value.toString(16).padStart(4, '0')}`, '0xaa55');
}

function checkRegionsFit(view: DataView): Finding | undefined {
  const { dataOffset, sectorSize } = geometryOf(new Uint8Array(view.buffer, view.byteOffset, 512));
  const total = totalSectorsOf(view);
  if (dataOffset / sectorSize < total) return undefined;
  const where = BootSector.BPB_TotSec16.get(view, 0) === 0 ? 0x020 : 0x013;
  return finding(
    'refuse',
    where === 0x020 ? 'BPB_TotSec32' : 'BPB_TotSec16',
    where,
    total,
    `more than ${dataOffset / sectorSize}, the sectors before the first cluster`,
  );
}

function checkDeviceSize(view: DataView, deviceSize: number): Finding | undefined {
  const size = totalSectorsOf(view) * BootSector.BPB_BytsPerSec.get(view, 0);
  if (size <= deviceSize) return undefined;
  const is16 = BootSector.BPB_TotSec16.get(view, 0) !== 0;
  return finding(
    'refuse',
    is16 ? 'BPB_TotSec16' : 'BPB_TotSec32',
    is16 ? 0x013 : 0x020,
    `${totalSectorsOf(view)} (${size} bytes)`,
    `no more than the device has (${deviceSize} bytes); the image may be truncated`,
  );
}

function checkClusterCount(view: DataView): Finding | undefined {
  const { type, clusterCount } = geometryOf(new Uint8Array(view.buffer, view.byteOffset, 512));
  if (clusterCount === 0)
    return finding('refuse', 'number of clusters', 0x00d, 0, 'at least 1 with an entry in the FAT');
  if (type !== 'fat16' || clusterCount <= 65524) return undefined;
  return finding('refuse', 'number of clusters', 0x016, clusterCount, 'at most 65524 on FAT16');
}

function checkFatCoversClusters(view: DataView): Finding | undefined {
  const geometry = geometryOf(new Uint8Array(view.buffer, view.byteOffset, 512));
  const total = totalSectorsOf(view) * geometry.sectorSize;
  const onDevice = Math.floor((total - geometry.dataOffset) / geometry.clusterSize);
  if (geometry.clusterCount >= onDevice) return undefined;
  const field = geometry.type === 'fat32' ? 'BPB_FATSz32' : 'BPB_FATSz16';
  const where = geometry.type === 'fat32' ? 0x024 : 0x016;
  return finding('note', field, where, fatSectorsOf(view), `a FAT with entries for ${onDevice} clusters`);
}

function checkRootCluster(view: DataView): Finding | undefined {
  const { type, rootCluster, clusterCount } = geometryOf(new Uint8Array(view.buffer, view.byteOffset, 512));
  if (type !== 'fat32' || (rootCluster >= 2 && rootCluster < clusterCount + 2)) return undefined;
  return finding('refuse', 'BPB_RootClus', 0x02c, rootCluster, `a cluster from 2 to ${clusterCount + 1}`);
}

function checkFsInfoSector(view: DataView): Finding | undefined {
  const { type, fsInfoOffset } = geometryOf(new Uint8Array(view.buffer, view.byteOffset, 512));
  if (type !== 'fat32' || fsInfoOffset !== undefined) return undefined;
  const value = ExtendedBpb32.BPB_FSInfo.get(view, 0);
  return finding('note', 'BPB_FSInfo', 0x030, value, 'a sector among the reserved ones');
}
