import type { BlockDevice } from '../device/block-device.ts';
import { StagingDevice } from '../device/staging-device.ts';
import { hasCode, isOwnError, UnsupportedError } from '../errors.ts';
import {
  CheckEnd,
  type CheckFinding,
  type CheckObserver,
  type CheckSeverity,
  LEAVE,
  unasked,
} from '../filesystem/check.ts';
import { probeFileSystem } from '../filesystem/drivers.ts';
import { checkExt } from '../filesystem/ext/check/check.ts';
import { isReplayPending, recover } from '../filesystem/ext/journal/recovery.ts';
import { checkFat } from '../filesystem/fat/check/check.ts';

export type CheckedType = 'fat' | 'ext';

/** Findings beyond so many are counted only: an image can be made to have billions. */
const MAX_KEPT = 10_000;
/** Mending can uncover more: a directory that has lost its chain is removed in the next round. */
const MAX_ROUNDS = 8;

/** What has become of the journal of an ext volume; `none`: it had nothing to give, `dropped`: it was unusable, and is mended without what it held. */
export type JournalState = 'none' | 'replayed' | 'shown' | 'unusable' | 'dropped';

export interface CheckVolumeOptions {
  /** Default: what the device looks like. */
  readonly type?: CheckedType;
  /** What to do about a finding that has a mend; the index of a choice or `LEAVE`. Default: its automatic choice, if any, so that what can be mended is known. */
  readonly decide?: (finding: CheckFinding) => number;
}

/** A finding and what was chosen to be done about it. */
export interface ReportedFinding extends CheckFinding {
  /** What will be done, for a person; undefined: nothing. */
  readonly action: string | undefined;
}

export interface VolumeReport {
  readonly type: CheckedType;
  readonly findings: readonly ReportedFinding[];
  readonly counts: Readonly<Record<CheckSeverity, number>>;
  /** Findings of warnings and above about which nothing is done. */
  readonly leftCount: number;
  readonly mendCount: number;
  /** The device as it will be. */
  readonly staged: StagingDevice;
  /** `replayed`: on the staging device. `shown`: what was checked is the state with it, which cannot be written. `unusable`: it was left out. */
  readonly journal: JournalState;
  /** How full it is, in a line; undefined when the check could not come to its end. */
  readonly summary: string | undefined;
}

/** Which checker the device calls for. UnsupportedError when it looks like nothing that can be checked. */
export function checkedTypeOf(device: BlockDevice): CheckedType {
  const driver = probeFileSystem(device);
  if (driver?.name === 'fat' || driver?.name === 'ext') return driver.name;
  throw new UnsupportedError(
    'No file system that userloop can check (FAT12, FAT16, FAT32, ext2, ext3, ext4) is recognised here; --type says which it is if its start is damaged',
  );
}

/** Checks and mends on a staging device over `device`: nothing is written. */
export function checkVolume(device: BlockDevice, options: CheckVolumeOptions = {}): VolumeReport {
  const type = options.type ?? checkedTypeOf(device);
  const { staged, journal } = type === 'ext' ? stageReplayed(device) : stagePlain(device);
  const recorder = new Recorder(options.decide);
  let summary: string | undefined;
  if (journal === 'replayed') reportReplay(recorder);
  try {
    // The first round tells everything; those after it what mending has uncovered.
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const before = recorder.mendCount;
      summary = checkOnce(staged, type, recorder);
      if (recorder.mendCount === before) break;
      recorder.isRepeated = true;
    }
  } catch (error) {
    if (!(error instanceof CheckEnd)) throw error;
    summary = undefined;
  }
  const { findings, counts, leftCount, mendCount } = recorder;
  const isDropped = journal === 'unusable' && !isReplayPending(staged);
  const state = isDropped ? 'dropped' : journal;
  return { type, findings, counts, leftCount, mendCount, staged, journal: state, summary };
}

interface Staged {
  readonly staged: StagingDevice;
  readonly journal: JournalState;
}

function stagePlain(device: BlockDevice): Staged {
  return { staged: new StagingDevice(device), journal: 'none' };
}

/** The device with its journal replayed onto the staging device, so that the replay is part of the plan. */
function stageReplayed(device: BlockDevice): Staged {
  const staged = new StagingDevice(device);
  try {
    const { device: view, journal, wasDirty, problem } = recover(staged, 'write');
    if (!wasDirty) return { staged, journal: 'none' };
    if (journal !== undefined) return { staged, journal: 'replayed' };
    if (view !== staged) return { staged: new StagingDevice(view), journal: 'shown' };
    return { staged, journal: problem === undefined ? 'none' : 'unusable' };
  } catch (error) {
    // What keeps the journal from being read, the check will find. Of one that holds more than can be kept it would find nothing, and mend without it.
    if (isOwnError(error) && !hasCode(error, 'ENOMEM')) return stagePlain(device);
    throw error;
  }
}

function reportReplay(observer: CheckObserver): void {
  observer.report({
    code: 'ext-journal',
    severity: 'note',
    structure: 'superblock',
    field: 's_feature_incompat',
    found: 'needs_recovery',
    expected: 'a journal with nothing to give',
    meaning:
      'The file system was not closed: its journal has changes that are not in place yet. They are taken into account here',
    toolText: '',
    mend: unasked('replays the journal'),
  });
}

function checkOnce(staged: StagingDevice, type: CheckedType, observer: CheckObserver): string {
  if (type === 'ext') {
    const { usedInodes, inodeCount, usedBlocks, blockCount } = checkExt(staged, observer, {
      onFresh: (offset, length) => staged.precede(offset, length),
    });
    return `${usedInodes} of ${inodeCount} inodes and ${usedBlocks} of ${blockCount} blocks in use`;
  }
  const { fileCount, usedClusters, clusterCount } = checkFat(staged, observer)!;
  return `${fileCount} ${fileCount === 1 ? 'file' : 'files'}, ${usedClusters} of ${clusterCount} clusters in use`;
}

class Recorder implements CheckObserver {
  readonly findings: ReportedFinding[] = [];
  readonly counts: Record<CheckSeverity, number> = { note: 0, warning: 0, damage: 0, fatal: 0 };
  leftCount = 0;
  mendCount = 0;
  /** What is left in one round is found again in the next: it counts once. */
  isRepeated = false;
  readonly #decide: (finding: CheckFinding) => number;

  constructor(decide = automaticChoice) {
    this.#decide = decide;
  }

  report(finding: CheckFinding): number {
    const chosen = finding.mend === undefined ? LEAVE : this.#decide(finding);
    const action = finding.mend?.choices[chosen]?.action;
    const isMended = action !== undefined && action !== '';
    if (this.isRepeated && !isMended) return chosen;
    this.counts[finding.severity]++;
    if (isMended) this.mendCount++;
    else if (finding.severity !== 'note') this.leftCount++;
    if (this.findings.length < MAX_KEPT)
      this.findings.push({ ...finding, action: isMended ? action : undefined });
    return chosen;
  }

  tell(): void {}
}

export function automaticChoice(finding: CheckFinding): number {
  return finding.mend?.automatic ?? LEAVE;
}
