import type { QuotaKind } from '../../file-system.ts';
import { Inode, InodeFlag, InodeKind } from '../inode.ts';
import { DEFAULT_GRACE, NO_LIMITS, type QuotaRecord, TREE_BLOCK } from '../quota-entry.ts';
import { makeQuotaFile, type QuotaFileSource, type QuotaFileState, readQuotaFile } from '../quota-file.ts';
import { QUOTA_FIELDS, QUOTA_KINDS } from '../quota-kind.ts';
import { Superblock, SUPERBLOCK_OFFSET } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { eachRun } from './file-runs.ts';
import { FileRewrite } from './file-rewrite.ts';
import { writeSuperblock } from './superblock-pass.ts';
import type { CountedKind, Usage } from './quota-usage.ts';

/** Owners whose numbers are told of a file: more of them say nothing new to a person. */
const MAX_TOLD = 5;
/** `i_extra_isize` of a file that is made anew. */
const EXTRA_SIZE = 32;

/** The quota files against what the inodes use: they are made anew where they differ, with the limits that are in them. */
export function checkQuotaFiles(check: ExtCheck): void {
  for (const counted of check.quota.kinds) {
    // An earlier pass may have given it up.
    if (Superblock[QUOTA_FIELDS[counted.kind]].get(check.superblock, 0) !== counted.inode) continue;
    if (counted.inode > check.geometry.inodeCount) tellUnreadable(check, counted);
    else if (counted.inode >= check.geometry.firstInode && check.counted.get(counted.inode) > 0)
      giveUpNamed(check, counted);
    else compare(check, counted);
  }
}

/** A file that has a name is somebody's: nothing is written over it. */
function giveUpNamed(check: ExtCheck, { kind, inode: number }: CountedKind): void {
  const field = QUOTA_FIELDS[kind];
  const isMended = check.ask({
    code: 'ext-quota-named',
    structure: 'superblock',
    field,
    offset: SUPERBLOCK_OFFSET + Superblock[field].offset,
    found: `${number}`,
    expected: 'an inode without a name',
    meaning: `The file of ${kind} quotas should be inode ${number}, which a directory names: it may be an ordinary file`,
    text: `Invalid ${kind} quota inode ${number}.  `,
    question: 'Fix',
    action: `goes without ${kind} quotas: the file stays`,
    safe: true,
  });
  if (!isMended) return;
  Superblock[field].set(check.superblock, 0, 0);
  writeSuperblock(check);
}

/** Its number was told of already, and left as it is. */
function tellUnreadable(check: ExtCheck, { kind, inode: number }: CountedKind): void {
  check.ask({
    code: 'ext-quota',
    severity: 'warning',
    structure: `file of ${kind} quotas`,
    field: 'tree',
    found: `inode ${number}`,
    expected: `an inode up to ${check.geometry.inodeCount}`,
    meaning: `The ${kind} quotas cannot be read: there is no inode ${number}`,
    text: updateText(kind),
    question: '',
  });
}

function updateText(kind: QuotaKind): string {
  return `Update quota info for quota type ${QUOTA_KINDS.indexOf(kind)}`;
}

interface Comparison {
  /** What the reference tool says. */
  errors: string;
  /** For a person; the first of them. */
  readonly differences: string[];
  count: number;
}

function compare(check: ExtCheck, { kind, inode: number, usage }: CountedKind): void {
  const inode = check.readInode(number);
  const result: Comparison = { errors: '', differences: [], count: 0 };
  const records = new Map<number, QuotaRecord>();
  const state = readFile(check, number, inode, kind, (record) => {
    if (!records.has(record.id)) records.set(record.id, record);
    compareOne(kind, record, usage.get(record.id) ?? NO_USAGE, result);
  });
  const owners = [...usage.keys()].sort((a, b) => a - b);
  const { fault } = state;
  if (fault === undefined) {
    for (const id of owners) if (!records.has(id)) tellMissing(kind, id, usage.get(id)!, result);
  } else result.errors += `[ERROR] Quota inode ${number} corrupted: ${fault}\n`;
  if (fault === undefined && result.count === 0) {
    if (!state.hasMagic) noteMagic(check, kind, number);
    return;
  }
  const rewrite = plan(check, kind, number, inode, usage, records, state);
  const rest = result.count - result.differences.length;
  const isMended = check.ask({
    code: 'ext-quota',
    severity: 'warning',
    structure: `file of ${kind} quotas`,
    field: fault === undefined ? 'dqb_curspace' : 'tree',
    offset: check.inodeOffset(number),
    found: fault ?? result.differences.map((text) => text.replace(/, which has .*/, '')).join('; '),
    expected: `what the ${usage.size} ${kind}s of the volume use`,
    meaning:
      fault === undefined
        ? `The ${kind} quotas (inode ${number}) are wrong: ${result.differences.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`
        : `The ${kind} quotas (inode ${number}) cannot be read: ${fault}`,
    errorText: result.errors,
    text: updateText(kind),
    question: '',
    ...(rewrite !== undefined && { action: 'makes the file anew, with the limits that it has' }),
    safe: true,
  });
  if (isMended) rewrite?.carryOut();
}

const NO_USAGE: Usage = { space: 0, inodes: 0 };

function compareOne(kind: QuotaKind, record: QuotaRecord, used: Usage, result: Comparison): void {
  if (record.space === BigInt(used.space) && record.inodes === BigInt(used.inodes)) return;
  const space = BigInt.asIntN(64, record.space);
  const inodes = BigInt.asIntN(64, record.inodes);
  result.errors += `[QUOTA WARNING] Usage inconsistent for ID ${record.id}:actual (${used.space}, ${used.inodes}) != expected (${space}, ${inodes})\n`;
  tell(result, `${space} bytes and ${inodes} inodes for ${kind} ${record.id}`, used);
}

function tellMissing(kind: QuotaKind, id: number, used: Usage, result: Comparison): void {
  result.errors += `[QUOTA WARNING] Missing quota entry ID ${id | 0}\n`;
  tell(result, `nothing for ${kind} ${id}`, used);
}

function tell(result: Comparison, found: string, { space, inodes }: Usage): void {
  result.count++;
  if (result.differences.length < MAX_TOLD)
    result.differences.push(`${found}, which has ${space} bytes and ${inodes} inodes`);
}

/** Kernels do not take such a file, and e2fsck does not mind. */
function noteMagic(check: ExtCheck, kind: QuotaKind, number: number): void {
  check.ask({
    code: 'ext-quota-magic',
    severity: 'note',
    structure: `file of ${kind} quotas`,
    field: 'dqh_magic',
    found: 'another number',
    expected: `that of ${kind} quotas`,
    meaning: `The ${kind} quotas (inode ${number}) do not begin with their number: a kernel will not use them`,
    text: '',
  });
}

/** The file as it should be; undefined when there is no room for it. */
function plan(
  check: ExtCheck,
  kind: QuotaKind,
  number: number,
  inode: DataView,
  usage: ReadonlyMap<number, Usage>,
  records: ReadonlyMap<number, QuotaRecord>,
  { fault, grace }: QuotaFileState,
): FileRewrite | undefined {
  const ids = [...new Set([...usage.keys(), ...records.keys()])].sort((a, b) => a - b);
  const wanted: QuotaRecord[] = [];
  for (const id of ids) {
    const { space, inodes } = usage.get(id) ?? NO_USAGE;
    const { hardInodes, softInodes, hardBlocks, softBlocks, blockTime, inodeTime } =
      records.get(id) ?? NO_LIMITS;
    const isOfUse = space > 0 || inodes > 0 || (hardInodes | softInodes | hardBlocks | softBlocks) !== 0n;
    const limits = { hardInodes, softInodes, hardBlocks, softBlocks, blockTime, inodeTime };
    if (isOfUse) wanted.push({ id, space: BigInt(space), inodes: BigInt(inodes), ...limits });
  }
  const content = makeQuotaFile(kind, wanted, fault === undefined ? grace : DEFAULT_GRACE);
  const isFile = check.usedInodes.get(number) && (Inode.i_mode.get(inode, 0) & 0xf000) === InodeKind.file;
  if (!isFile) {
    if (number >= check.geometry.firstInode && Inode.i_mode.get(inode, 0) !== 0) return undefined;
    new Uint8Array(inode.buffer, inode.byteOffset, inode.byteLength).fill(0);
    Inode.i_mode.set(inode, 0, InodeKind.file | 0o600);
    Inode.i_flags.set(inode, 0, InodeFlag.immutable);
    for (const field of ['i_atime', 'i_ctime', 'i_mtime'] as const)
      Inode[field].set(inode, 0, Superblock.s_wtime.get(check.superblock, 0));
    if (check.geometry.inodeSize >= 128 + EXTRA_SIZE) Inode.i_extra_isize.set(inode, 0, EXTRA_SIZE);
  }
  if (Inode.i_links_count.get(inode, 0) === 0) Inode.i_links_count.set(inode, 0, 1);
  return FileRewrite.plan(check, number, inode, content);
}

function readFile(
  check: ExtCheck,
  number: number,
  inode: DataView,
  kind: QuotaKind,
  visit: (record: QuotaRecord) => void,
): QuotaFileState {
  const none = { hasMagic: false, grace: DEFAULT_GRACE };
  if (!check.usedInodes.get(number) || (Inode.i_mode.get(inode, 0) & 0xf000) !== InodeKind.file)
    return { ...none, fault: 'it is no file' };
  if ((Inode.i_flags.get(inode, 0) & InodeFlag.inlineData) !== 0)
    return { ...none, fault: 'it has no blocks' };
  return readQuotaFile(new FileSource(check, inode), kind, visit);
}

/** A file whose map may be anything, in the blocks of a quota tree. */
class FileSource implements QuotaFileSource {
  readonly size: number;
  readonly maxBlocks: number;
  readonly #check: ExtCheck;
  /** Position, block and length in turn; in the order of the file. */
  readonly #runs: number[] = [];

  constructor(check: ExtCheck, inode: DataView) {
    this.#check = check;
    this.size = Inode.i_size_lo.get(inode, 0) + Inode.i_size_high.get(inode, 0) * 0x1_0000_0000;
    const { blockCount, blockSize } = check.geometry;
    this.maxBlocks = Math.ceil((blockCount * blockSize) / TREE_BLOCK);
    let next = 0;
    eachRun(check, inode, (position, start, length, isUnwritten) => {
      if (isUnwritten || position < next) return;
      this.#runs.push(position, start, length);
      next = position + length;
    });
  }

  read(block: number, into: Uint8Array): void {
    const { blockSize } = this.#check.geometry;
    const offset = block * TREE_BLOCK;
    const physical = this.#find(Math.floor(offset / blockSize));
    if (physical === undefined) into.fill(0);
    else this.#check.device.read(physical * blockSize + (offset % blockSize), into);
  }

  #find(position: number): number | undefined {
    const runs = this.#runs;
    let low = 0;
    let high = runs.length / 3 - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const first = runs[3 * middle]!;
      if (position < first) high = middle - 1;
      else if (position >= first + runs[3 * middle + 2]!) low = middle + 1;
      else return runs[3 * middle + 1]! + position - first;
    }
    return undefined;
  }
}
