import { CheckEnd, type CheckFinding, unasked } from '../../check.ts';
import type { FatGeometry } from '../geometry.ts';
import type { CheckObserver } from '../../check.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { choice, type FatCheck, giveUp } from './context.ts';
import type { CheckedTable } from './table.ts';

const CHUNK = 1 << 18;

/** The copies of the FAT against each other; makes the table that the check goes by. `wanted` from 1, 0: the first that is intact. */
export function checkCopies(
  device: BlockDevice,
  geometry: FatGeometry,
  table: CheckedTable,
  wanted: number,
  observer: CheckObserver,
): void {
  const { fatCount } = geometry;
  const firstIntact = isIntact(device, geometry, 0);
  if (wanted > fatCount) throw new CheckEnd(`there is no FAT ${wanted}`);
  if (fatCount === 1) {
    if (!firstIntact && wanted === 0) {
      giveUp(observer, {
        ...corrupt(geometry),
        toolText:
          'First FAT appears to be corrupt and second FAT does not exist. Giving up. Run fsck.fat with -F 1 option.\n',
      });
    }
    return;
  }
  const offset = firstDifference(device, geometry);
  const secondIntact = isIntact(device, geometry, 1);
  if (offset === undefined) {
    if (!firstIntact && wanted === 0) {
      giveUp(observer, {
        ...corrupt(geometry),
        toolText: 'Both FATs appear to be corrupt. Giving up. Run fsck.fat with non-zero -F option.\n',
      });
    }
    return;
  }
  const finding = differ(geometry, offset, firstIntact, secondIntact, wanted);
  if (finding.severity === 'fatal') {
    observer.report(finding);
    throw new CheckEnd(finding.meaning);
  }
  const chosen = observer.report(finding);
  if (chosen < 0) return;
  const source = wanted > 0 ? wanted - 1 : firstIntact && secondIntact ? chosen : firstIntact ? 0 : 1;
  copyTable(device, geometry, source);
  table.source = source;
}

function corrupt(geometry: FatGeometry): Omit<CheckFinding, 'severity' | 'toolText'> {
  return {
    code: 'fat-media-byte',
    structure: 'FAT',
    field: 'FAT[0]',
    offset: geometry.fatOffset,
    found: 'something else',
    expected: 'a media byte with ones above it',
    meaning: `No FAT begins as one must, so the first of them at byte ${geometry.fatOffset} cannot be believed`,
  };
}

function differ(
  geometry: FatGeometry,
  offset: number,
  firstIntact: boolean,
  secondIntact: boolean,
  wanted: number,
): CheckFinding {
  const { fatOffset, fatSize, type } = geometry;
  const cluster = Math.floor(((offset - fatOffset) * 8) / Number(type.slice(3)));
  const base: CheckFinding = {
    code: 'fat-copies-differ',
    severity: 'damage',
    structure: 'FAT',
    field: `FAT[${cluster}]`,
    offset: offset + fatSize,
    found: 'a copy that differs',
    expected: 'two copies that are the same',
    meaning: `The two FATs differ from the entry of cluster ${cluster} on: which files have which clusters is not sure`,
    toolText: '',
  };
  if (wanted > 0) {
    return {
      ...base,
      mend: unasked(`copies FAT ${wanted} over the other`, false),
    };
  }
  if (firstIntact && secondIntact) {
    return {
      ...base,
      toolText: 'FATs differ but appear to be intact.\n',
      mend: choice(
        [
          ['Use first FAT', 'copies the first FAT over the second'],
          ['Use second FAT', 'copies the second FAT over the first'],
        ],
        0,
        '  Using first FAT.\n',
      ),
    };
  }
  if (firstIntact || secondIntact) {
    const [good, bad] = firstIntact ? ['first', 'second'] : ['second', 'first'];
    return {
      ...base,
      toolText: `FATs differ - using ${good} FAT.\n`,
      mend: unasked(`copies the ${good} FAT over the ${bad}, which does not begin as a FAT must`),
    };
  }
  return {
    ...base,
    severity: 'fatal',
    toolText: 'FATs differ and both appear to be corrupt. Giving up. Run fsck.fat with non-zero -F option.\n',
  };
}

/** FAT[0] is the media byte with ones above it: Microsoft FAT specification 1.03, section 4. */
function isIntact(device: BlockDevice, geometry: FatGeometry, copy: number): boolean {
  const start = new Uint8Array(4);
  device.read(geometry.fatOffset + copy * geometry.fatSize, start);
  if (geometry.type === 'fat12') return start[0]! >= 0xf0 && (start[1]! & 0x0f) === 0x0f;
  if (geometry.type === 'fat16') return start[0]! >= 0xf0 && start[1] === 0xff;
  return start[0]! >= 0xf0 && start[1] === 0xff && start[2] === 0xff && (start[3]! & 0x0f) === 0x0f;
}

/** Byte offset, in the first FAT, of the first difference in what the clusters need; the rest of the last sector does not matter. */
function firstDifference(device: BlockDevice, geometry: FatGeometry): number | undefined {
  const { fatOffset, fatSize, clusterCount, type } = geometry;
  const used = Math.min(fatSize, Math.ceil(((clusterCount + 2) * Number(type.slice(3))) / 8));
  const first = new Uint8Array(CHUNK);
  const second = new Uint8Array(CHUNK);
  for (let done = 0; done < used; done += CHUNK) {
    const length = Math.min(CHUNK, used - done);
    const a = first.subarray(0, length);
    const b = second.subarray(0, length);
    device.read(fatOffset + done, a);
    device.read(fatOffset + fatSize + done, b);
    for (let i = 0; i < length; i++) {
      if (a[i] !== b[i]) return fatOffset + done + i;
    }
  }
  return undefined;
}

function copyTable(device: BlockDevice, geometry: FatGeometry, source: number): void {
  const { fatOffset, fatSize } = geometry;
  const from = new Uint8Array(CHUNK);
  const to = new Uint8Array(CHUNK);
  for (let done = 0; done < fatSize; done += CHUNK) {
    const length = Math.min(CHUNK, fatSize - done);
    const a = from.subarray(0, length);
    const b = to.subarray(0, length);
    device.read(fatOffset + source * fatSize + done, a);
    device.read(fatOffset + (1 - source) * fatSize + done, b);
    // Only what differs is staged: a FAT may be large.
    let start = 0;
    while (start < length && a[start] === b[start]) start++;
    let end = length;
    while (end > start && a[end - 1] === b[end - 1]) end--;
    if (end > start) device.write(fatOffset + (1 - source) * fatSize + done + start, a.subarray(start, end));
  }
}

/** Links to clusters that do not exist end their chain. */
export function checkLinks(check: FatCheck): void {
  const { table, geometry, observer } = check;
  const { lastCluster, codec } = table;
  for (let cluster = 2; cluster <= lastCluster; cluster++) {
    const next = table.get(cluster);
    if (next === 0 || (next >= 2 && next <= lastCluster) || next >= codec.bad) continue;
    // The tool counts clusters from 0 here.
    const text =
      next === 1
        ? `Cluster ${cluster - 2} out of range (1). Setting to EOF.\n`
        : `Cluster ${cluster - 2} out of range (${next} > ${lastCluster}). Setting to EOF.\n`;
    const chosen = observer.report({
      code: 'fat-link-out-of-range',
      severity: 'damage',
      structure: 'FAT',
      field: `FAT[${cluster}]`,
      offset: geometry.fatOffset + Math.floor((cluster * codec.bits) / 8),
      found: `${next}`,
      expected: `a cluster from 2 to ${lastCluster}`,
      meaning: `Cluster ${cluster} is followed by ${next}, and clusters go from 2 to ${lastCluster}: the file loses what came after`,
      toolText: text,
      mend: unasked(`ends the chain at cluster ${cluster}`),
    });
    if (chosen >= 0) table.set(cluster, codec.endMinimum);
  }
}
