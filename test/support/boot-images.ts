import fs from 'node:fs';
import path from 'node:path';
import { runTool } from './tools.ts';

/** Images with GRUB's stage files, made by the reference tools only. */

/** Where Debian's grub-legacy keeps the stage files. */
const STAGE_FOLDERS = ['/usr/lib/grub/x86_64-pc', '/usr/lib/grub/i386-pc'];

export function stageFolder(): string | undefined {
  return STAGE_FOLDERS.find((folder) => fs.existsSync(path.join(folder, 'stage2')));
}

export interface FileSystemRecipe {
  readonly type: 'ext2' | 'ext4' | 'fat12' | 'fat16' | 'fat32';
  /** Where the stage files go. */
  readonly folder: '/grub' | '/boot/grub';
  /** Names of stage files. */
  readonly files: readonly string[];
}

export interface DiskRecipe extends FileSystemRecipe {
  /** First sector of the partition. */
  readonly startSector: number;
  /** The partition type, in hexadecimal. */
  readonly partitionType: string;
}

export const ALL_STAGES = ['stage1', 'stage2', 'e2fs_stage1_5', 'fat_stage1_5'];
export const NO_STAGE15 = ['stage1', 'stage2'];

/** A file system in a file of its own. */
export function makeVolume(file: string, kibibytes: number, recipe: FileSystemRecipe): void {
  fs.rmSync(file, { force: true });
  fs.writeFileSync(file, '');
  fs.truncateSync(file, kibibytes * 1024);
  if (recipe.type.startsWith('ext')) mustRun(`mkfs.${recipe.type}`, ['-q', '-F', file]);
  else mustRun('mkfs.fat', [`-F${recipe.type.slice(3)}`, '--invariant', file]);
  const names = recipe.folder.split('/').slice(1);
  const folders = names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`);
  const stages = stageFolder()!;
  if (recipe.type.startsWith('ext')) {
    const script = [
      ...folders.map((folder) => `mkdir ${folder}`),
      `cd ${recipe.folder}`,
      ...recipe.files.map((name) => `write ${stages}/${name} ${name}`),
    ];
    mustRun('debugfs', ['-w', '-f', '-', file], `${script.join('\n')}\n`);
    return;
  }
  mustRun('mmd', ['-i', file, ...folders.map((folder) => `::${folder}`)]);
  mustRun('mcopy', [
    '-i',
    file,
    ...recipe.files.map((name) => path.join(stages, name)),
    `::${recipe.folder}/`,
  ]);
}

/** A disk with one partition, which goes to its end. */
export function makeDisk(file: string, kibibytes: number, recipe: DiskRecipe): void {
  fs.rmSync(file, { force: true });
  fs.writeFileSync(file, '');
  fs.truncateSync(file, kibibytes * 1024);
  mustRun(
    'sfdisk',
    ['-q', '--no-reread', '--force', file],
    `label-id: 0x1badcafe\nstart=${recipe.startSector},type=${recipe.partitionType},bootable\n`,
  );
  const volume = `${file}.volume`;
  makeVolume(volume, Math.floor(kibibytes - recipe.startSector / 2), recipe);
  mustRun('dd', [
    `if=${volume}`,
    `of=${file}`,
    'bs=512',
    `seek=${recipe.startSector}`,
    'conv=notrunc,sparse',
  ]);
  fs.rmSync(volume);
}

export function mustRun(tool: string, args: readonly string[], input?: string): void {
  const { status, stdout, stderr } = runTool(tool, args, input === undefined ? {} : { input });
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
}
