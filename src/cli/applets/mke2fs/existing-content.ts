import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import { probeFileSystem } from '../../../filesystem/drivers.ts';
import { Superblock, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET } from '../../../filesystem/ext/superblock.ts';
import { CompatibleFeature, IncompatibleFeature } from '../../../filesystem/ext/superblock.ts';
import { viewOf } from '../../../bytes/struct.ts';

/** What is on the device already, in mke2fs' words; undefined for nothing that we know. */
export function describeContent(device: BlockDevice, name: string): string | undefined {
  if (device.size >= SUPERBLOCK_OFFSET + Superblock.$size) {
    const view = viewOf(readBytes(device, SUPERBLOCK_OFFSET, Superblock.$size));
    if (Superblock.s_magic.get(view, 0) === SUPERBLOCK_MAGIC) return describeExt(view, name);
  }
  if (probeFileSystem(device)?.name === 'fat') return `${name} contains a vfat file system\n`;
  if (device.size >= 512) {
    const sector = readBytes(device, 0, 512);
    const entries = [446, 462, 478, 494];
    const signed = sector[510] === 0x55 && sector[511] === 0xaa;
    if (
      signed &&
      entries.some((at) => sector[at + 4] !== 0) &&
      entries.every((at) => (sector[at]! & 0x7f) === 0)
    )
      return `Found a dos partition table in ${name}\n`;
  }
  return undefined;
}

function describeExt(view: DataView, name: string): string {
  const incompatible = Superblock.s_feature_incompat.get(view, 0);
  const journal = (Superblock.s_feature_compat.get(view, 0) & CompatibleFeature.has_journal) !== 0;
  const ext4 = (incompatible & (IncompatibleFeature.extent | IncompatibleFeature['64bit'])) !== 0;
  let text = `${name} contains a ${ext4 ? 'ext4' : journal ? 'ext3' : 'ext2'} file system`;
  const label = cString(Superblock.s_volume_name.get(view, 0));
  if (label !== '') text += ` labelled '${label}'`;
  const mounted = Superblock.s_mtime.get(view, 0);
  const made = Superblock.s_mkfs_time.get(view, 0);
  const where = cString(Superblock.s_last_mounted.get(view, 0));
  if (mounted !== 0) {
    text += `\n\tlast mounted ${where === '' ? '' : `on ${where} `}on ${calendarTime(mounted)}`;
  } else if (made !== 0) text += `\n\tcreated on ${calendarTime(made)}`;
  else {
    const written = Superblock.s_wtime.get(view, 0);
    if (written !== 0) text += `\n\tlast modified on ${calendarTime(written)}`;
  }
  return `${text}\n`;
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
}

/** ctime(3): `Sun Sep 13 12:26:40 2020`, in the host's time zone. */
function calendarTime(seconds: number): string {
  const [weekday, month, day, year, time] = new Date(seconds * 1000).toString().split(' ');
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}
