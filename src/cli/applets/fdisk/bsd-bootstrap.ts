import fs from 'node:fs';
import { isZero } from '../../../bytes/is-zero.ts';
import { readBytes } from '../../../device/block-device.ts';
import { FsError, hasCode } from '../../../errors.ts';
import type { BsdDisklabelEditor } from '../../../partition/bsd-disklabel-editor.ts';
import { DISKLABEL_OFFSET, Disklabel } from '../../../partition/bsd-disklabel.ts';
import type { Context } from './dialog-context.ts';

/** Where the boot blocks of a BSD were looked for when they were built on Linux. */
const FOLDER = '/usr/ucb/mdec';
const BOOT_AREA_SIZE = 8192;
const TYPE_SCSI = 4;

/** `i` of the BSD menu: the boot blocks of a disk type go around the label, which stays as it is on the disk. */
export function installBootstrap({ disk, dialog }: Context, editor: BsdDisklabelEditor): void {
  const usual = editor.drive('d_type') === TYPE_SCSI ? 'sd' : 'wd';
  const answer = dialog.ask(`\nBootstrap: ${usual}boot -> boot${usual} (default ${usual}): `);
  const name = answer === '' ? usual : answer;
  const sectorSize = editor.drive('d_secsize');
  const areaSize = Math.min(editor.drive('d_bbsize'), BOOT_AREA_SIZE);
  const base = (editor.slice?.startSector ?? 0) * disk.sectorSize;
  const area = readBytes(disk.device, base, Math.min(BOOT_AREA_SIZE, disk.device.size - base));
  const label = area.slice(DISKLABEL_OFFSET, DISKLABEL_OFFSET + Disklabel.$size);
  area.fill(0, DISKLABEL_OFFSET, DISKLABEL_OFFSET + Disklabel.$size);
  const load = (file: string, into: Uint8Array): boolean => {
    const problem = loadFile(file, into);
    if (problem === undefined) dialog.info(`The bootstrap file ${file} successfully loaded.`);
    else dialog.warn(problem);
    return problem === undefined;
  };
  if (!load(`${FOLDER}/${name}boot`, area.subarray(0, sectorSize))) return;
  if (!load(`${FOLDER}/boot${name}`, area.subarray(sectorSize, areaSize))) return;
  if (!isZero(area.subarray(DISKLABEL_OFFSET, DISKLABEL_OFFSET + Disklabel.$size))) {
    dialog.warn('Bootstrap overlaps with disklabel!');
    return;
  }
  area.set(label, DISKLABEL_OFFSET);
  disk.writeNow((device) => device.write(base, area));
  dialog.info(`Bootstrap installed on ${disk.name}.`);
  dialog.info('Syncing disks.');
}

/** Fills `into` with the beginning of the file; what to complain of where that cannot be done. */
function loadFile(file: string, into: Uint8Array): string | undefined {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, 'r');
  } catch (error) {
    const code = (['ENOENT', 'EACCES', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP'] as const).find((each) =>
      hasCode(error, each),
    );
    if (code === undefined) throw error;
    return `cannot open ${file}: ${new FsError(code).text}`;
  }
  try {
    return fs.readSync(descriptor, into) === into.length ? undefined : `cannot read ${file}: Success`;
  } catch (error) {
    if (!hasCode(error, 'EISDIR')) throw error;
    return `cannot read ${file}: ${new FsError('EISDIR').text}`;
  } finally {
    fs.closeSync(descriptor);
  }
}
