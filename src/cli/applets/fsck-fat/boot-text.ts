import { viewOf } from '../../../bytes/struct.ts';
import { BootSector } from '../../../filesystem/fat/boot-sector.ts';
import { fatSectorsOf, type FatGeometry, totalSectorsOf } from '../../../filesystem/fat/geometry.ts';

/** What the media byte stands for, in the tool's words. */
const MEDIA: Readonly<Record<number, string>> = {
  0xf0: '5.25" or 3.5" HD floppy',
  0xf8: 'hard disk',
  0xf9: '3,5" 720k floppy 2s/80tr/9sec or 5.25" 1.2M floppy 2s/80tr/15sec',
  0xfa: '5.25" 320k floppy 1s/80tr/8sec',
  0xfb: '3.5" 640k floppy 2s/80tr/8sec',
  0xfc: '5.25" 180k floppy 1s/40tr/9sec',
  0xfd: '5.25" 360k floppy 2s/40tr/9sec',
  0xfe: '5.25" 160k floppy 1s/40tr/8sec',
  0xff: '5.25" 320k floppy 2s/40tr/8sec',
};

/** The boot sector as `fsck.fat -v` shows it. `sector` is its first 512 bytes. */
export function describeBoot(sector: Uint8Array, geometry: FatGeometry): string {
  const view = viewOf(sector);
  const { sectorSize, clusterSize, fatOffset, fatSize, fatCount, rootOffset, dataOffset, clusterCount } =
    geometry;
  const media = BootSector.BPB_Media.get(view, 0);
  const reserved = BootSector.BPB_RsvdSecCnt.get(view, 0);
  const rootEntries = BootSector.BPB_RootEntCnt.get(view, 0);
  const oemName = new Uint8Array(view.buffer, view.byteOffset + 3, 8);
  const name = String.fromCharCode(...oemName).replace(/\0.*$/s, '');
  const root =
    geometry.type === 'fat32'
      ? [`Root directory start at cluster ${geometry.rootCluster} (arbitrary size)`]
      : [
          `Root directory starts at byte ${rootOffset} (sector ${rootOffset / sectorSize})`,
          `${column(rootEntries)} root directory entries`,
        ];
  return [
    'Boot sector contents:',
    `System ID "${name}"`,
    `Media byte 0x${media.toString(16).padStart(2, '0')} (${MEDIA[media] ?? 'unknown'})`,
    `${column(sectorSize)} bytes per logical sector`,
    `${column(clusterSize)} bytes per cluster`,
    `${column(reserved)} reserved sector${reserved === 1 ? '' : 's'}`,
    `First FAT starts at byte ${fatOffset} (sector ${fatOffset / sectorSize})`,
    `${column(fatCount)} FATs, ${geometry.type.slice(3)} bit entries`,
    `${column(fatSize)} bytes per FAT (= ${fatSectorsOf(view)} sectors)`,
    ...root,
    `Data area starts at byte ${dataOffset} (sector ${dataOffset / sectorSize})`,
    `${column(clusterCount)} data clusters (${clusterCount * clusterSize} bytes)`,
    `${BootSector.BPB_SecPerTrk.get(view, 0)} sectors/track, ${BootSector.BPB_NumHeads.get(view, 0)} heads`,
    `${column(BootSector.BPB_HiddSec.get(view, 0))} hidden sectors`,
    `${column(totalSectorsOf(view))} sectors total`,
    '',
  ].join('\n');
}

function column(value: number): string {
  return `${value}`.padStart(10);
}
