import type { BlockDevice } from '../../../device/block-device.ts';
import { CheckEnd, type CheckFinding, type CheckObserver, LEAVE, type Mend } from '../../check.ts';
import type { CodePage } from '../code-page.ts';
import type { FatGeometry } from '../geometry.ts';
import type { NamedFiles } from './named-files.ts';
import type { ClusterOwners } from './owners.ts';
import type { CheckedTable } from './table.ts';

export interface FatCheckOptions {
  /** For short names. Default: 850, as dosfstools has it. */
  readonly codePage?: CodePage;
  /** Make files of chains that belong to nobody, instead of freeing them. */
  readonly salvage?: boolean;
  /** Spaces in the middle of short names are wrong. */
  readonly noSpacesInNames?: boolean;
  /** The FAT to go by, from 1; 0 or undefined: the first that is intact. */
  readonly table?: number;
  /** Names of files to remove, each with the path from the root. */
  readonly drop?: readonly string[];
  /** Deleted files to bring back, likewise. */
  readonly undelete?: readonly string[];
  /** Lower case in labels is wrong. */
  readonly upperCaseLabels?: boolean;
  /** Read every cluster; those that cannot be read are marked bad, and files go on without them. */
  readonly testsClusters?: boolean;
  /** Told each file as it is come across, with its alias in parentheses where it has a long name. */
  readonly onFile?: (path: string) => void;
  /** Look at the boot sector and nothing else. */
  readonly bootOnly?: boolean;
  /** Told the boot sector as soon as it can be understood. */
  readonly onBoot?: (sector: Uint8Array, geometry: FatGeometry) => void;
  /** Called when the boot sector has been gone over. */
  readonly onStart?: () => void;
  /** Say what is gone over, in the tool's words. */
  readonly verbose?: boolean;
}

export interface FatCheckResult {
  /** Files and directories but not the root, nor `.` and `..`. */
  readonly fileCount: number;
  readonly usedClusters: number;
  readonly clusterCount: number;
}

/** What the passes share. */
export interface FatCheck {
  readonly device: BlockDevice;
  readonly geometry: FatGeometry;
  readonly table: CheckedTable;
  readonly owners: ClusterOwners;
  readonly observer: CheckObserver;
  readonly options: FatCheckOptions;
  readonly codePage: CodePage;
  readonly named: NamedFiles;
}

/** Tells a finding after which the check cannot go on. */
export function giveUp(observer: CheckObserver, finding: Omit<CheckFinding, 'severity'>): never {
  observer.report({ ...finding, severity: 'fatal' });
  throw new CheckEnd(finding.meaning);
}

/** A mend with several ways; the labels are the tool's. The last choice leaves everything as it is when its action is empty. */
export function choice(
  choices: readonly (readonly [label: string, action: string])[],
  automatic: number,
  automaticText: string,
  safe = true,
): Mend {
  return {
    choices: choices.map(([label, action]) => ({ label, action })),
    automatic,
    asks: true,
    safe,
    automaticText,
  };
}

/** Was something chosen that changes the file system? */
export function isMended(finding: CheckFinding, chosen: number): boolean {
  return chosen !== LEAVE && finding.mend?.choices[chosen]?.action !== '';
}
