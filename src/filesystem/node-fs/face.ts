import type { FileSystem } from '../file-system.ts';
import { type CallbackApi, callbackApi } from './callback-api.ts';
import { type Codec, plainCodec } from './codec.ts';
import { constants } from './constants.ts';
import type { NodeFsOptions } from './context.ts';
import { Dir } from './dir.ts';
import { Dirent } from './dirent.ts';
import { type NotSupported, notSupported } from './not-supported.ts';
import { OpenFileTable } from './open-file-table.ts';
import { type PromisesApi, promisesApi } from './promises-api.ts';
import { BigIntStats, Stats, StatsFs } from './stats.ts';
import { type SyncApi, allCalls } from './sync-api.ts';

/** A file system in the shape of node:fs, without Node: bytes are `B`. */
export type Face<B extends Uint8Array> = SyncApi<B> &
  CallbackApi &
  NotSupported & {
    readonly promises: PromisesApi<B>;
    readonly constants: typeof constants;
    readonly Stats: typeof Stats;
    readonly BigIntStats: typeof BigIntStats;
    readonly StatsFs: typeof StatsFs;
    readonly Dirent: typeof Dirent;
    readonly Dir: typeof Dir;
    readonly F_OK: number;
    readonly R_OK: number;
    readonly W_OK: number;
    readonly X_OK: number;
  };

/** As `nodeFs`, with bytes as the codec has them. */
export function createFace<B extends Uint8Array>(
  fileSystem: FileSystem,
  codec: Codec<B>,
  options: NodeFsOptions = {},
): Face<B> {
  const { sync, cp } = allCalls({
    fileSystem,
    files: new OpenFileTable(fileSystem),
    codec,
    uid: options.uid ?? 0,
    gid: options.gid ?? 0,
    umask: options.umask ?? 0o022,
    random: options.random,
  });
  return {
    ...sync,
    ...callbackApi(sync, cp),
    ...notSupported(),
    promises: promisesApi(sync, cp),
    constants,
    Stats,
    BigIntStats,
    StatsFs,
    Dirent,
    Dir,
    F_OK: constants.F_OK,
    R_OK: constants.R_OK,
    W_OK: constants.W_OK,
    X_OK: constants.X_OK,
  };
}

/**
 * A file system in the shape of node:fs where there is no Node (a browser's worker): `Uint8Array` instead of `Buffer`, UTF-8 and latin1
 * as encodings, no streams. In Node use `nodeFs` of the package's main entry.
 */
export function plainNodeFs(fileSystem: FileSystem, options?: NodeFsOptions): Face<Uint8Array> {
  return createFace(fileSystem, plainCodec, options);
}
