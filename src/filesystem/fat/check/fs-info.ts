import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import type { CheckFinding, CheckObserver } from '../../check.ts';
import { ExtendedBpb32, FsInfo } from '../boot-sector.ts';
import type { FatGeometry } from '../geometry.ts';
import { choice } from './context.ts';

const STRUCTURE = 'boot sector';
const SIGNATURES = [
  [FsInfo.FSI_LeadSig, 0x41615252],
  [FsInfo.FSI_StrucSig, 0x61417272],
  [FsInfo.FSI_TrailSig, 0xaa550000],
] as const;

/** The sector of FAT32 that counts free clusters. */
export function checkFsInfo(
  device: BlockDevice,
  view: DataView,
  geometry: FatGeometry,
  observer: CheckObserver,
): void {
  const sector = ExtendedBpb32.BPB_FSInfo.get(view, 0);
  if (sector === 0 || geometry.fsInfoOffset === undefined) {
    observer.report({
      code: 'fat-no-fsinfo',
      severity: 'note',
      structure: STRUCTURE,
      field: 'BPB_FSInfo',
      offset: 0x030,
      found: `${sector}`,
      expected: 'a sector among the reserved ones, usually 1',
      meaning: 'There is no FSInfo sector: free space has to be counted each time',
      toolText: sector === 0 ? 'No FSINFO sector\n  Not automatically creating it.\n' : '',
    });
    return;
  }
  const offset = geometry.fsInfoOffset;
  const info = readBytes(device, offset, 512);
  const infoView = viewOf(info);
  const wrong = SIGNATURES.filter(([field, value]) => field.get(infoView, 0) !== value);
  if (wrong.length === 0) return;
  const [field, expected] = wrong[0]!;
  const lines = wrong.map(
    ([bad, value]) =>
      `  Offset ${bad.offset}: 0x${word(bad.get(infoView, 0))} != expected 0x${word(value)}\n`,
  );
  const finding: CheckFinding = {
    code: 'fat-fsinfo-signature',
    severity: 'damage',
    structure: 'FSInfo',
    field: 'FSI_LeadSig',
    offset: offset + field.offset,
    found: `0x${word(field.get(infoView, 0))}`,
    expected: `0x${word(expected)}`,
    meaning: 'The sector that should hold the count of free clusters does not have the marks of one',
    toolText: `FSINFO sector has bad magic number(s):\n${lines.join('')}`,
    mend: choice(
      [
        ['Correct', 'makes a new FSInfo sector'],
        ["Don't correct (FSINFO invalid then)", ''],
      ],
      0,
      '  Auto-correcting it.\n',
    ),
  };
  if (observer.report(finding) !== 0) return;
  info.fill(0);
  for (const [signature, value] of SIGNATURES) signature.set(infoView, 0, value);
  FsInfo.FSI_Free_Count.set(infoView, 0, 0xffffffff);
  FsInfo.FSI_Nxt_Free.set(infoView, 0, 2);
  device.write(offset, info);
}

function word(value: number): string {
  return value.toString(16).padStart(8, '0');
}
