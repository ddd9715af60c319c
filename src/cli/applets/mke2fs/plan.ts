import { randomUuid } from '../../../bytes/uuid.ts';
import {
  hasCompatible,
  hasIncompatible,
  hasReadOnlyCompatible,
} from '../../../filesystem/ext/format/features.ts';
import { journalSize } from '../../../filesystem/ext/format/journal.ts';
import { computeLayout, type ExtLayout, initialFreeBlocks } from '../../../filesystem/ext/format/layout.ts';
import {
  chooseBlockSize,
  CreatorOs,
  type FormatExtOptions,
  type JournalOptions,
  resolveFirstChoices,
  resolveParameters,
} from '../../../filesystem/ext/format/parameters.ts';
import { type ExtConfiguration, resolveProfile } from '../../../filesystem/ext/format/profile.ts';
import { systemRandom } from '../../../host/system.ts';
import type { Io } from '../../io.ts';
import { attempt, proceedOrFail } from './ask.ts';
import { type CommandLine, parseCreatorOs } from './command-line.ts';
import { type ExtendedOptions, parseExtendedOptions } from './extended-options.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { chooseUuid, clockOf } from './identity.ts';
import { parseCount } from '../e2fsprogs/numbers.ts';

/** What the kernel of most machines can mount. */
const LARGEST_USUAL_BLOCK = 4096;
/** Of hashes, where nothing is hashed yet. */
const NO_SEED = new Uint8Array(16);

export interface Wish {
  readonly type: 'ext2' | 'ext3' | 'ext4';
  readonly configuration: ExtConfiguration;
  /** Bytes, with what lies before an offset. */
  readonly wholeSize: number;
  /** The size was asked for. */
  readonly sized: boolean;
}

/** How the volume will be laid out. */
export function plan(
  io: Io,
  command: CommandLine,
  calledAs: string,
  { type, configuration, wholeSize, sized }: Wish,
): { layout: ExtLayout; extended: ExtendedOptions } {
  const name = command.device!;
  const creatorOs = command.creatorOs === undefined ? undefined : parseCreatorOs(command.creatorOs);
  // What lies before an offset counts for the choice of the profile, though not for the volume.
  const profile = resolveProfile({
    type,
    usage: command.usage,
    size: wholeSize,
    hurd: creatorOs === CreatorOs.hurd,
    configuration,
  });
  for (const unknown of profile.unknown) {
    io.stderr.write(`\nWarning: the fs_type ${unknown} is not defined in mke2fs.conf\n\n`);
  }
  if (command.verbose) {
    const names = profile.names.map((part) => `'${part}'`).join(', ');
    io.stdout.write(`fs_types for mke2fs.conf resolution: ${names}\n`);
  }
  const now = clockOf(io.env)();
  const uuid = chooseUuid(command.uuid, now);
  const journal = chooseJournal(command, chooseBlockSize(profile, command));
  const identity = {
    configuration,
    wholeSize,
    // A UUID that cannot be read is complained of last.
    uuid: uuid ?? new Uint8Array(16),
    hashSeed: NO_SEED,
    now,
  };
  const tell = { name, calledAs, wholeSize, blockSize: chooseBlockSize(profile, command) };
  const { blockSize, blockCount } = attempt(
    () => resolveFirstChoices(wholeSize, formatOptions(command, { journal }, type, creatorOs, identity)),
    (detail) => refusal(detail, tell),
  );
  if (blockSize > LARGEST_USUAL_BLOCK) {
    const tooBig = `${blockSize}-byte blocks too big for system (max ${LARGEST_USUAL_BLOCK})`;
    io.stderr.write(command.force ? `Warning: ${tooBig}, forced to continue\n` : `${calledAs}: ${tooBig}\n`);
    if (!command.force) proceedOrFail(io);
  }
  // What the configuration asks for comes first: the command line has the last word.
  const extended: ExtendedOptions = {
    discard: profile.discard,
    ...(profile.lazyInodeTables === undefined ? {} : { lazyInodeTables: profile.lazyInodeTables }),
  };
  for (const text of [...profile.extended, command.extended])
    Object.assign(extended, parseExtendedOptions(io, text, { blockSize, blockCount }));
  if (command.discard !== undefined) extended.discard = command.discard;
  let size = wholeSize;
  if (extended.offset !== undefined && extended.offset > 0 && !sized) {
    size -= Math.floor(extended.offset / blockSize) * blockSize;
    if (size <= 0)
      throw new Failure(
        `${name}: Not enough space to build proposed filesystem while setting up superblock\n`,
      );
    io.stderr.write(
      '\nWarning: offset specified without an explicit file system size.\n' +
        `Creating a file system with ${Math.floor(size / blockSize)} blocks but this might\nnot be what you want.\n\n`,
    );
  }
  const options = formatOptions(command, { ...extended, journal }, type, creatorOs, {
    ...identity,
    hashSeed: extended.hashSeed ?? randomUuid(systemRandom),
  });
  const warnOfSmallInodes = (): void => {
    const chosen = command.inodeSize ?? (profile.saysInodeSize ? profile.inodeSize : undefined);
    if (chosen === 128 && profile.warnOfSmallInodes)
      io.stdout.write('128-byte inodes cannot handle dates beyond 2038 and are deprecated\n');
  };
  const parameters = attempt(
    () => resolveParameters(size, options),
    (detail) => {
      if (detail.startsWith('inode_size (')) warnOfSmallInodes();
      return refusal(detail, tell);
    },
  );
  warnOfSmallInodes();
  const layout = attempt(
    () => computeLayout(parameters),
    (detail) =>
      detail.startsWith('The metadata_csum_seed')
        ? refusal(detail, tell)
        : `${name}: ${detail} while setting up superblock\n`,
  );
  if (!command.quiet) warnOfFeatures(io, layout);
  const journalSizeOf = attempt(
    () => journalSize(layout, initialFreeBlocks(layout)),
    (detail) => detail,
  );
  if (journalSizeOf === undefined && hasCompatible(layout.features, 'has_journal'))
    io.stderr.write('\nFilesystem too small for a journal\n');
  if (uuid === undefined) throw new Failure(`${name}: could not parse UUID: ${command.uuid}\n\n`);
  if (command.creatorOs !== undefined && creatorOs === undefined)
    throw new Failure(`${calledAs}: unknown os - ${command.creatorOs}\n`);
  return { layout, extended };
}

/** The tool's words for a refusal of the core. */
function refusal(
  detail: string,
  volume: {
    readonly name: string;
    readonly calledAs: string;
    readonly wholeSize: number;
    readonly blockSize: number;
  },
): string {
  const { name, calledAs, wholeSize, blockSize } = volume;
  if (detail.endsWith('too many for 32 bits')) {
    const blocks = Math.floor(wholeSize / blockSize).toString(16);
    return (
      `${calledAs}: Size of device (0x${blocks} blocks) ${name} too big to be expressed\n` +
      `\tin 32 bits using a blocksize of ${blockSize}.\n`
    );
  }
  // These two the tool tells on the other stream.
  if (/^(Extents MUST|The metadata_csum_seed)/.test(detail)) throw new Failure(`${detail}\n`, 'stdout');
  // The tool names itself before what it says in lower case.
  return `${/^([a-z0-9]|Flex_bg|Can't|The cluster)/.test(detail) ? `${calledAs}: ` : ''}${detail}\n`;
}

/** What weakens checksums. */
function warnOfFeatures(io: Io, { features }: ExtLayout): void {
  if (!hasReadOnlyCompatible(features, 'metadata_csum')) return;
  if (!hasIncompatible(features, 'extent')) {
    io.stdout.write(
      'Extents are not enabled.  The file extent tree can be checksummed, whereas block maps cannot.  Not enabling ' +
        'extents reduces the coverage of metadata checksumming.  Pass -O extents to rectify.\n',
    );
  }
  if (!hasIncompatible(features, '64bit')) {
    io.stdout.write(
      '64-bit filesystem support is not enabled.  The larger fields afforded by this feature enable ' +
        'full-strength checksumming.  Pass -O 64bit to rectify.\n',
    );
  }
}

function chooseJournal(command: CommandLine, blockSize: number): JournalOptions | undefined {
  if (command.journal === undefined) return undefined;
  const { location, ...rest } = command.journal;
  const optional = command.wantsJournal !== true && !rest.size;
  return {
    ...rest,
    optional,
    ...(location === undefined ? {} : { location: parseCount(location, blockSize) }),
  };
}

function formatOptions(
  command: CommandLine,
  extended: ExtendedOptions & { readonly journal: JournalOptions | undefined },
  type: 'ext2' | 'ext3' | 'ext4',
  creatorOs: number | undefined,
  identity: Pick<FormatExtOptions, 'uuid' | 'hashSeed' | 'now' | 'configuration' | 'wholeSize'>,
): FormatExtOptions {
  const { rootOwner } = extended;
  return dropAbsent({
    ...identity,
    type,
    usage: command.usage,
    blockSize: command.blockSize,
    minimumBlockSize: command.minimumBlockSize,
    features: command.features,
    inodeSize: command.inodeSize,
    inodeRatio: command.inodeRatio,
    inodeCount: command.inodeCount,
    blocksPerGroup: command.blocksPerGroup,
    reservedPercent: command.reservedPercent,
    revision: command.revision,
    label: command.label,
    lastMounted: command.lastMounted,
    errorBehavior: command.errorBehavior,
    creatorOs,
    resize: extended.resize,
    stride: extended.stride,
    stripeWidth: extended.stripeWidth,
    backupSuperblocks: extended.backupSuperblocks,
    rootOwner:
      rootOwner === 'caller' ? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } : rootOwner,
    testFileSystem: extended.testFileSystem,
    flexGroups: command.flexGroups,
    clusterSize: command.clusterSize,
    journal: extended.journal,
    packedMetaBlocks: extended.packedMetaBlocks,
    mmpInterval: extended.mmpInterval,
    quotaTypes: extended.quotaTypes,
    orphanFileSize: extended.orphanFileSize,
    encodingFlags: extended.encodingFlags,
  });
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** An option that was not given is no option. */
function dropAbsent<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
}
