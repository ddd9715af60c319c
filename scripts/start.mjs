// npm start: the tour. Makes the images of the OSDev wiki's article on loopback devices, without root, checks them and boots them.
//
//     npm start                     images in userloop-tour/
//     npm start -- FOLDER           images in FOLDER
//
// Needs Node and npm only. Reference tools, GRUB's stage files and QEMU are used where the machine has them.
import fs from 'node:fs';
import path from 'node:path';
import { prepare, root } from './prepare.mjs';

const started = Date.now();
prepare();
const { failed, failureCount, heading, passed, prose, skipped } = await import('./tour/console.mjs');
const { Session } = await import('./tour/session.mjs');
const { compareTrees } = await import('./tour/compare.mjs');
const { judgeExt, judgeFat, judgeTable } = await import('./tour/reference.mjs');
const { runInShell } = await import('./tour/shell.mjs');
const { bootUntilMenu, findStageFiles, hasEmulator, installGrub } = await import('./tour/grub.mjs');

const folder = path.resolve(process.argv[2] ?? path.join(root, 'userloop-tour'));
fs.mkdirSync(folder, { recursive: true });
const session = new Session(folder);
const prepared = Date.now();

/** Small enough for a floppy: this package's own documents and part of its sources. */
const smallTree = ['docs', 'LICENSE', 'README.md', 'package.json', 'src/bytes', 'src/device', 'src/nbd'].map(
  (name) => path.join(root, name),
);
/** Some thousand files: npm itself, which is wherever this runs. */
const largeTree = findLargeTree();
const stages = findStageFiles();
/** Images with GRUB, which are booted at the end. */
const bootable = [];

const IMAGES = [
  'floppy-ext2.img',
  'floppy-fat.img',
  'floppy-fat12.img',
  'c-ext2.img',
  'c-fat32.img',
  'device.img',
];
for (const image of IMAGES) fs.rmSync(path.join(folder, image), { force: true });

prose(`userloop makes disk images without root. Every command below runs for real, in ${folder}.`);

heading('1. A floppy disk with ext2 and GRUB');
emptyFloppy('floppy-ext2.img');
session.run(['mkfs', '-t', 'ext2', '-L', 'FLOPPY', 'floppy-ext2.img']);
copyTrees('floppy-ext2.img', smallTree);
session.run(['ls', '-l', 'floppy-ext2.img:/'], { classic: 'ls -l /mnt/myfloppy' });
makeBootable({
  image: 'floppy-ext2.img',
  place: 'floppy-ext2.img',
  directory: '/grub',
  map: '(fd0) floppy-ext2.img',
  commands: ['root (fd0)', 'setup (fd0)'],
});
readBack('floppy-ext2.img', undefined, smallTree);
judgeExt(session, 'floppy-ext2.img');

heading('2. Floppy disks with FAT: what mkdosfs chooses, and FAT12 by name');
for (const command of ['mkdosfs floppy-fat.img', 'mkdosfs -F 12 floppy-fat12.img']) {
  const image = command.slice(command.lastIndexOf(' ') + 1);
  emptyFloppy(image);
  session.run(command.split(' '), { classic: command });
  copyTrees(image, smallTree, ['-L']);
  if (image === 'floppy-fat12.img') {
    makeBootable({
      image,
      place: image,
      directory: '/grub',
      map: `(fd0) ${image}`,
      commands: ['root (fd0)', 'setup (fd0)'],
    });
  }
  session.run(['df', image], { classic: 'df /mnt/myfloppy' });
  readBack(image, undefined, smallTree, { follow: true });
  judgeFat(session, image);
}

heading('3. A hard disk of 1000 cylinders, 16 heads and 63 sectors with an ext2 partition');
emptyDisk('c-ext2.img');
partition('c-ext2.img', ['a'], ['63', '1007999', '503968+', '83']);
session.run(['mke2fs', '-b1024', '-E', 'offset=32256', 'c-ext2.img', '503968'], {
  classic: 'losetup -o32256 /dev/loop0 c-ext2.img && mke2fs -b1024 /dev/loop0 503968',
});
copyTrees('c-ext2.img:1', [largeTree]);
session.run(['tree', '-L', '2', `c-ext2.img:1:/${path.basename(largeTree)}`], {
  classic: 'tree -L 2 /mnt/wherever',
});
session.run(['df', 'c-ext2.img:1'], { classic: 'df -Th /mnt/wherever' });
makeBootable({
  image: 'c-ext2.img',
  place: 'c-ext2.img:1',
  directory: '/boot/grub',
  stage15: 'e2fs_stage1_5',
  map: '(hd0) c-ext2.img',
  commands: ['root (hd0,0)', 'setup (hd0)'],
});
readBack('c-ext2.img', 1, [largeTree]);
judgeTable(session, 'c-ext2.img');
judgeExt(session, 'c-ext2.img', 32256);

heading('4. The same disk with a FAT32 partition');
emptyDisk('c-fat32.img');
partition('c-fat32.img', ['t', 'c', 'a'], ['63', '1007999', '503968+', 'W95 FAT32 (LBA)']);
session.run(['mkdosfs', '-F32', '-n', 'WHEREVER', '--offset', '63', 'c-fat32.img', '503968'], {
  classic: 'losetup -o32256 /dev/loop0 c-fat32.img && mkdosfs -F32 -n WHEREVER /dev/loop0 503968',
});
copyTrees('c-fat32.img:1', [largeTree], ['-L']);
session.run(['df', 'c-fat32.img:1'], { classic: 'df -Th /mnt/wherever' });
makeBootable({
  image: 'c-fat32.img',
  place: 'c-fat32.img:1',
  directory: '/boot/grub',
  stage15: 'fat_stage1_5',
  map: '(hd0) c-fat32.img',
  commands: ['root (hd0,0)', 'setup (hd0)'],
});
readBack('c-fat32.img', 1, [largeTree], { follow: true });
judgeTable(session, 'c-fat32.img');
judgeFat(session, 'c-fat32.img', 1);

heading('5. A device and a mounted directory, for every program: userloop shell');
fs.mkdirSync(path.join(folder, 'mnt'), { recursive: true });
const attached = runInShell(session, [
  'dd if=/dev/zero of=device.img bs=512 count=2880',
  'losetup /dev/loop0 device.img',
  'mkfs -t ext2 /dev/loop0',
  'mount -t ext2 /dev/loop0 mnt',
  `cp -a ${path.join(root, 'docs', 'formats')} mnt`,
  'df -Th mnt',
  'losetup -l',
  'umount /dev/loop0',
  'losetup -d /dev/loop0',
]);
if (attached) {
  readBack('device.img', undefined, [path.join(root, 'docs', 'formats')]);
  judgeExt(session, 'device.img');
}

heading('6. Booting them');
if (stages === undefined) skipped('nothing to boot without GRUB');
else if (hasEmulator()) await bootUntilMenu(session, bootable);
else skipped('QEMU is not on this machine (Debian: qemu-system-x86)');

heading('7. What is in there');
session.run(['inspect', 'c-ext2.img'], { classic: 'userloop inspect c-ext2.img', lines: 40 });

for (const name of ['menu.lst', 'device.map']) fs.rmSync(path.join(folder, name), { force: true });
const seconds = ((Date.now() - prepared) / 1000).toFixed(1);
const total = ((Date.now() - started) / 1000).toFixed(1);
heading(failureCount() === 0 ? 'Every check passed.' : `${failureCount()} checks failed.`);
const shown = path.relative(process.cwd(), folder) || '.';
const userloop = path.relative(process.cwd(), path.join(root, 'bin', 'userloop'));
prose(`The images lie in ${folder} (the tour took ${seconds} s, with installing and building ${total} s). Try next:

  ${userloop} tree -L 2 ${shown}/c-ext2.img:1:/
  ${userloop} cp -r ./docs ${shown}/floppy-fat.img:/more
  ${stages === undefined ? `${userloop} inspect ${shown}/c-fat32.img` : `${userloop} boot ${shown}/c-ext2.img`}
`);
process.exitCode = failureCount() === 0 ? 0 : 1;

function emptyFloppy(image) {
  session.run(['create', image, '1440K'], { classic: `dd if=/dev/zero of=${image} bs=512 count=2880` });
}

function emptyDisk(image) {
  session.run(['create', image, '516096x1000'], {
    classic: `dd if=/dev/zero of=${image} bs=516096c count=1000`,
  });
}

/** Types the article's keys into fdisk and looks for the article's figures in the table that it prints. */
function partition(image, more, figures) {
  const keys = ['o', 'n', 'p', '1', '', '', ...more, 'p', 'w'];
  const options = ['-u', '-C1000', '-S63', '-H16', image];
  session.run(['fdisk', ...options], {
    input: `${keys.join('\n')}\n`,
    classic: `printf '${keys.join('\\n')}\\n' | fdisk ${options.join(' ')}`,
    lines: 40,
    expect: figures,
  });
}

function copyTrees(place, trees, options = []) {
  const names = trees.map((tree) => displayed(tree));
  session.run(['cp', '-r', ...options, ...trees, `${place}:/`], {
    classic: `cp ${['-r', ...options].join(' ')} ${names.join(' ')} /mnt`,
  });
}

function displayed(tree) {
  return tree.startsWith(root) ? path.relative(root, tree) : tree;
}

function readBack(image, number, trees, options) {
  const total = { files: 0, directories: 0, links: 0, bytes: 0, differences: [] };
  for (const tree of trees) {
    const result = compareTrees(path.join(folder, image), number, `/${path.basename(tree)}`, tree, options);
    for (const key of ['files', 'directories', 'links', 'bytes']) total[key] += result[key];
    total.differences.push(...result.differences);
  }
  const { files, directories, links, bytes, differences } = total;
  const what = `${files} files, ${directories} directories, ${links} links, ${(bytes / 1e6).toFixed(1)} MB`;
  if (differences.length === 0) passed(`read back from ${image}: ${what}, all as they went in`);
  else
    failed(
      `read back from ${image}: ${differences.length} differences\n  ${differences.slice(0, 10).join('\n  ')}`,
    );
}

function makeBootable(plan) {
  if (stages === undefined) {
    skipped(
      `GRUB's stage files are not on this machine, so ${plan.image} does not boot (Debian: grub-legacy)`,
    );
    return;
  }
  const menuTitle = `userloop tour, ${plan.image}`;
  const stage15 =
    plan.stage15 !== undefined && fs.existsSync(path.join(stages, plan.stage15)) ? plan.stage15 : undefined;
  installGrub(session, stages, { ...plan, stage15, menuTitle });
  bootable.push({ image: plan.image, menuTitle });
}

function findLargeTree() {
  const candidates = [
    process.env['npm_execpath'] && path.join(path.dirname(process.env['npm_execpath']), '..'),
    path.join(path.dirname(process.execPath), '../lib/node_modules/npm'),
    path.join(root, 'node_modules/vitest'),
  ];
  for (const candidate of candidates) {
    if (candidate && fs.existsSync(path.join(candidate, 'package.json'))) return fs.realpathSync(candidate);
  }
  return path.join(root, 'src');
}
