import fs from 'node:fs';
import { viewOf } from '../../src/bytes/struct.ts';
import { QuotaEntry, TREE_BLOCK } from '../../src/filesystem/ext/quota-entry.ts';
import { readSoundQuotaFile } from '../../src/filesystem/ext/quota-file.ts';
import { runTool } from './tools.ts';

/** Limits of space in KiB; 0 for none. */
export interface Limits {
  readonly softSpace?: number;
  readonly hardSpace?: number;
  readonly softNodes?: number;
  readonly hardNodes?: number;
}

/** Gives a user of a volume, who has an entry already, limits, as setquota does on a mounted one. */
export function setUserLimits(image: string, user: number, limits: Limits): void {
  const blockSize = Number(/Block size: +(\d+)/.exec(runTool('dumpe2fs', ['-h', image]).stdout)![1]);
  const list = runTool('debugfs', ['-R', 'blocks <3>', image]).stdout;
  const blocks = list.trim().split(/\s+/).map(Number);
  const fd = fs.openSync(image, 'r+');
  const placeOf = (position: number): number =>
    blocks[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
  let found: number | undefined;
  readSoundQuotaFile(
    {
      size: blocks.length * blockSize,
      maxBlocks: blocks.length * (blockSize / TREE_BLOCK),
      read: (block, into) => void fs.readSync(fd, into, 0, TREE_BLOCK, placeOf(block * TREE_BLOCK)),
    },
    'user',
    (id, position) => {
      if (id === user) found = position;
    },
  );
  if (found === undefined) throw new Error(`User ${user} has no entry in ${image}`);
  const entry = new Uint8Array(QuotaEntry.$size);
  fs.readSync(fd, entry, 0, entry.length, placeOf(found));
  const view = viewOf(entry);
  QuotaEntry.dqb_bsoftlimit.set(view, 0, BigInt(limits.softSpace ?? 0));
  QuotaEntry.dqb_bhardlimit.set(view, 0, BigInt(limits.hardSpace ?? 0));
  QuotaEntry.dqb_isoftlimit.set(view, 0, BigInt(limits.softNodes ?? 0));
  QuotaEntry.dqb_ihardlimit.set(view, 0, BigInt(limits.hardNodes ?? 0));
  fs.writeSync(fd, entry, 0, entry.length, placeOf(found));
  fs.closeSync(fd);
}
