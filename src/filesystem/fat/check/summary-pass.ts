import { viewOf } from '../../../bytes/struct.ts';
import { readBytes } from '../../../device/block-device.ts';
import { type CheckFinding, LEAVE } from '../../check.ts';
import { BootSector, ExtendedBpb16, ExtendedBpb32, FsInfo } from '../boot-sector.ts';
import { DELETED, LONG_NAME_ATTRIBUTES, ShortEntry, SLOT_SIZE } from '../directory-entry.ts';
import { choice, type FatCheck } from './context.ts';
import { slotRuns } from './directory-reader.ts';

const NO_LABEL = 'NO NAME    ';
const DIRTY = 0x01;
/** FAT[1]: set when the volume was closed properly. Microsoft FAT specification 1.03, section 4. */
const CLEAN_BITS = { fat12: 0, fat16: 0x8000, fat32: 0x08000000 } as const;
// eslint-disable-next-line no-control-regex -- control characters are what this is about
const FORBIDDEN_IN_LABEL = /[\x00-\x1f\x7f*?<>|":/\\.,;+=[\]]/;

/** The mark of a volume that was not closed. */
export function checkDirty(check: FatCheck): void {
  const { geometry, device, table } = check;
  const extended = geometry.type === 'fat32' ? ExtendedBpb32 : ExtendedBpb16;
  const offset = extended.BS_Reserved1.offset;
  const flags = readBytes(device, offset, 1)[0]!;
  const cleanBit = CLEAN_BITS[geometry.type];
  const isBootDirty = (flags & DIRTY) !== 0;
  const isTableDirty = cleanBit !== 0 && (table.get(1) & cleanBit) === 0;
  if (!isBootDirty && !isTableDirty) return;
  const chosen = check.observer.report({
    code: 'fat-dirty',
    severity: 'warning',
    structure: isBootDirty ? 'boot sector' : 'FAT',
    field: isBootDirty ? 'BS_Reserved1' : 'FAT[1]',
    offset: isBootDirty ? offset : geometry.fatOffset,
    found: isBootDirty ? `0x${flags.toString(16)}` : `0x${table.get(1).toString(16)}`,
    expected: 'the mark of a volume that was closed',
    meaning: 'The volume was not closed properly after it was written last',
    toolText: 'Dirty bit is set. Fs was not properly unmounted and some data may be corrupt.\n',
    mend: choice(
      [
        ['Remove dirty bit', 'marks the volume as closed'],
        ['No action', ''],
      ],
      0,
      ' Automatically removing dirty bit.\n',
    ),
  });
  if (chosen !== 0) return;
  if (isBootDirty) device.write(offset, Uint8Array.of(flags & ~DIRTY));
  if (isTableDirty) table.set(1, table.get(1) | cleanBit);
}

/** The label in the boot sector and that in the root directory are one. */
export function checkLabels(check: FatCheck): void {
  const { geometry, device, observer } = check;
  const extended = geometry.type === 'fat32' ? ExtendedBpb32 : ExtendedBpb16;
  const boot = readBytes(device, 0, 512);
  const signature = extended.BS_BootSig.get(viewOf(boot), 0);
  if (signature !== 0x29) return;
  const bootOffset = extended.BS_VolLab.offset;
  let bootRaw: Uint8Array | undefined = boot.subarray(bootOffset, bootOffset + 11);
  if (latin1(bootRaw) === NO_LABEL || latin1(bootRaw).trim() === '') bootRaw = undefined;
  const labels = rootLabels(check);
  tellSecondLabels(check, labels);
  if (bootRaw !== undefined && !isValid(bootRaw)) {
    if (reportBadBoot(check, bootRaw, bootOffset)) bootRaw = undefined;
  }
  // Where one is taken out, the next becomes the label.
  const root = labels.find((label) => isValid(label.raw) || !reportBadRoot(check, label));
  const rootRaw = root && raiseLabel(check, root.raw, root.offset, bootOffset);
  if (rootRaw !== root?.raw) bootRaw = rootRaw;
  if (bootRaw !== undefined && root === undefined)
    bootRaw = raiseLabel(check, bootRaw, undefined, bootOffset);
  const bootName = bootRaw === undefined ? undefined : textOf(check, bootRaw);
  const rootName = rootRaw === undefined ? undefined : textOf(check, rootRaw);
  if (bootName === rootName) return;
  const where = { structure: 'boot sector', field: 'BS_VolLab', offset: bootOffset } as const;
  if (bootName === undefined) {
    const finding: CheckFinding = {
      ...where,
      code: 'fat-label',
      severity: 'warning',
      found: 'no label',
      expected: JSON.stringify(rootName),
      meaning: `The root directory has the label "${rootName!}", the boot sector has none`,
      toolText: `There is no label in boot sector, but there is volume label '${rootName!}' stored in root directory\n`,
      mend: choice(
        [['Copy volume label from root directory to boot sector', 'copies the label to the boot sector']],
        0,
        '  Auto-copying volume label from root directory to boot sector.\n',
      ),
    };
    if (observer.report(finding) === 0) writeBootLabel(check, bootOffset, rootRaw!);
  } else if (rootName === undefined) {
    const finding: CheckFinding = {
      ...where,
      code: 'fat-label',
      severity: 'warning',
      found: JSON.stringify(bootName),
      expected: 'no label, as in the root directory',
      meaning: `The boot sector has the label "${bootName}", the root directory has none`,
      toolText: `Label in boot sector is '${bootName}', but there is no volume label in root directory.\n`,
      mend: choice(
        [['Remove label from boot sector', 'takes the label out of the boot sector']],
        0,
        '  Auto-removing label from boot sector.\n',
      ),
    };
    if (observer.report(finding) === 0) writeNoLabel(check, bootOffset);
  } else {
    const finding: CheckFinding = {
      ...where,
      code: 'fat-label',
      severity: 'warning',
      found: JSON.stringify(bootName),
      expected: JSON.stringify(rootName),
      meaning: `The boot sector has the label "${bootName}", the root directory "${rootName}"`,
      toolText: `Volume label '${rootName}' stored in root directory and label '${bootName}' stored in boot sector and different.\n`,
      mend: choice(
        [['Copy volume label from root directory to boot sector', 'copies the label to the boot sector']],
        0,
        '  Auto-copying volume label from root directory to boot sector.\n',
      ),
    };
    if (observer.report(finding) === 0) writeBootLabel(check, bootOffset, rootRaw!);
  }
}

function reportBadBoot(check: FatCheck, raw: Uint8Array, offset: number): boolean {
  const label = textOf(check, raw);
  const chosen = check.observer.report({
    code: 'fat-label',
    severity: 'warning',
    structure: 'boot sector',
    field: 'BS_VolLab',
    offset,
    found: JSON.stringify(label),
    expected: 'a label of permitted characters',
    meaning: `The label "${label}" in the boot sector cannot be`,
    toolText: `Label '${label}' stored in boot sector is not valid.\n`,
    mend: choice(
      [['Remove invalid label from boot sector', 'takes the label out of the boot sector']],
      0,
      '  Auto-removing label from boot sector.\n',
    ),
  });
  if (chosen === LEAVE) return false;
  writeNoLabel(check, offset);
  return true;
}

function reportBadRoot(check: FatCheck, root: RootLabel): boolean {
  const label = textOf(check, root.raw);
  const chosen = check.observer.report({
    code: 'fat-label',
    severity: 'warning',
    structure: 'directory entry',
    field: 'DIR_Name',
    offset: root.offset,
    found: JSON.stringify(label),
    expected: 'a label of permitted characters',
    meaning: `The label "${label}" in the root directory cannot be`,
    toolText: `Volume label '${label}' stored in root directory is not valid.\n`,
    mend: choice(
      [['Remove invalid label', 'takes the label out of the root directory']],
      0,
      '  Auto-removing label.\n',
    ),
  });
  if (chosen === LEAVE) return false;
  check.device.write(root.offset, Uint8Array.of(DELETED));
  check.device.write(root.offset + ShortEntry.DIR_Attr.offset, Uint8Array.of(0));
  return true;
}

function tellSecondLabels(check: FatCheck, labels: readonly RootLabel[]): void {
  for (const { raw, offset } of labels.slice(1)) {
    check.observer.report({
      code: 'fat-second-label',
      severity: 'note',
      structure: 'directory entry',
      field: 'DIR_Attr',
      offset: offset + 0x0b,
      found: 'a second volume label',
      expected: 'one at most',
      meaning: `The root directory has a second label, "${textOf(check, raw)}"; only the first counts`,
      toolText: '',
    });
  }
}

interface RootLabel {
  readonly offset: number;
  readonly raw: Uint8Array;
}

/** Labels among the entries before the end mark. */
function rootLabels(check: FatCheck): RootLabel[] {
  const runs = slotRuns(check, check.geometry.type === 'fat32' ? check.geometry.rootCluster : 0);
  const labels: RootLabel[] = [];
  for (let run = 0; run < runs.length; run += 2) {
    const content = new Uint8Array(runs[run + 1]! * SLOT_SIZE);
    check.device.read(runs[run]!, content);
    for (let base = 0; base < content.length; base += SLOT_SIZE) {
      if (content[base] === 0) return labels;
      const attributes = content[base + 0x0b]!;
      if (content[base] === DELETED || attributes === LONG_NAME_ATTRIBUTES || (attributes & 0x18) !== 0x08)
        continue;
      labels.push({ offset: runs[run]! + base, raw: content.slice(base, base + 11) });
    }
  }
  return labels;
}

function isValid(raw: Uint8Array): boolean {
  const label = latin1(raw);
  return !FORBIDDEN_IN_LABEL.test(raw[0] === 0x05 ? label.slice(1) : label) && raw[0] !== 0x20;
}

function writeNoLabel(check: FatCheck, offset: number): void {
  writeBootLabel(
    check,
    offset,
    Uint8Array.from(NO_LABEL, (character) => character.charCodeAt(0)),
  );
}

/** In the copy of the boot sector, too. */
function writeBootLabel({ device, geometry }: FatCheck, offset: number, raw: Uint8Array): void {
  device.write(offset, raw);
  if (geometry.type !== 'fat32') return;
  const boot = viewOf(readBytes(device, 0, 512));
  const sector = ExtendedBpb32.BPB_BkBootSec.get(boot, 0);
  if (sector === 0 || sector >= BootSector.BPB_RsvdSecCnt.get(boot, 0)) return;
  const copy = sector * geometry.sectorSize;
  if (readBytes(device, copy + 510, 2).join() === '85,170') device.write(copy + offset, raw);
}

/** Tells a label with lower case in it; returns it as it is then. */
function raiseLabel(
  check: FatCheck,
  raw: Uint8Array,
  slot: number | undefined,
  bootOffset: number,
): Uint8Array {
  const raised = raw.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte));
  if (check.options.upperCaseLabels !== true || raised.join() === raw.join()) return raw;
  const label = textOf(check, raw);
  const where = slot === undefined ? 'boot sector' : 'root directory';
  const chosen = check.observer.report({
    code: 'fat-label-case',
    severity: 'warning',
    structure: slot === undefined ? 'boot sector' : 'directory entry',
    field: slot === undefined ? 'BS_VolLab' : 'DIR_Name',
    offset: slot ?? bootOffset,
    found: JSON.stringify(label),
    expected: JSON.stringify(textOf(check, raised)),
    meaning: `The label "${label}" in the ${where} has lower case in it`,
    toolText: `${slot === undefined ? 'Label' : 'Volume label'} '${label}' stored in ${where} contains lowercase characters.\n`,
    mend: choice(
      [['Change lowercase characters to uppercase', 'writes it in upper case']],
      0,
      '  Auto-changing lowercase characters to uppercase\n',
    ),
  });
  if (chosen !== 0) return raw;
  if (slot !== undefined) check.device.write(slot, raised);
  writeBootLabel(check, bootOffset, raised);
  return raised;
}

function textOf(check: FatCheck, raw: Uint8Array): string {
  let label = '';
  for (const byte of raw) label += check.codePage.decode(byte);
  return label.replace(/ +$/, '');
}

function latin1(raw: Uint8Array): string {
  return String.fromCharCode(...raw);
}

/** Counts the free clusters and compares FSInfo. Returns the count. */
export function checkFreeCount(check: FatCheck): number {
  const { table, geometry, device, observer } = check;
  let free = 0;
  for (let cluster = 2; cluster <= table.lastCluster; cluster++) if (table.get(cluster) === 0) free++;
  const offset = geometry.fsInfoOffset;
  if (offset === undefined) return free;
  if (check.options.verbose === true) observer.tell('Checking free cluster summary.\n');
  const info = viewOf(readBytes(device, offset, FsInfo.$size));
  const summary = FsInfo.FSI_Free_Count.get(info, 0);
  const where = {
    structure: 'FSInfo',
    field: 'FSI_Free_Count',
    offset: offset + FsInfo.FSI_Free_Count.offset,
  };
  let chosen = LEAVE;
  if (summary === 0xffffffff) {
    chosen = observer.report({
      ...where,
      code: 'fat-free-count',
      severity: 'note',
      found: 'unknown',
      expected: `${free}`,
      meaning: `The count of free clusters is not kept in FSInfo; it is ${free}`,
      toolText: `Free cluster summary uninitialized (should be ${free})\n`,
      mend: choice(
        [
          ['Set it', `writes ${free}`],
          ['Leave it uninitialized', ''],
        ],
        0,
        '  Auto-setting.\n',
      ),
    });
  } else if (summary !== free) {
    chosen = observer.report({
      ...where,
      code: 'fat-free-count',
      severity: 'warning',
      found: `${summary}`,
      expected: `${free}`,
      meaning: `FSInfo counts ${summary} free clusters, there are ${free}`,
      toolText: `Free cluster summary wrong (${summary} vs. really ${free})\n`,
      mend: choice(
        [
          ['Correct', `writes ${free}`],
          ["Don't correct", ''],
        ],
        0,
        '  Auto-correcting.\n',
      ),
    });
  }
  if (chosen === 0) {
    const bytes = new Uint8Array(4);
    viewOf(bytes).setUint32(0, free, true);
    device.write(where.offset, bytes);
  }
  checkNextFree(check, info, offset);
  return free;
}

function checkNextFree(check: FatCheck, info: DataView, offset: number): void {
  const next = FsInfo.FSI_Nxt_Free.get(info, 0);
  const { lastCluster } = check.table;
  if (next === 0xffffffff || next === 0 || (next >= 2 && next <= lastCluster)) return;
  check.observer.report({
    code: 'fat-next-free',
    severity: 'note',
    structure: 'FSInfo',
    field: 'FSI_Nxt_Free',
    offset: offset + FsInfo.FSI_Nxt_Free.offset,
    found: `${next}`,
    expected: `a cluster from 2 to ${lastCluster}`,
    meaning: `FSInfo says to look for free clusters from ${next} on, and clusters go from 2 to ${lastCluster}`,
    toolText: '',
  });
}
