import type { Applet } from './applet.ts';

/**
 * Every command by every name it has, and the module that holds it: a module is loaded only when its command runs,
 * so that start-up costs the same however many there are. test/unit/registry.test.ts checks names against modules.
 */
export interface RegistryEntry {
  readonly names: readonly string[];
  readonly kind: 'verb' | 'applet';
  /** One line for `userloop --help`. */
  readonly summary: string;
  load(): Promise<Applet>;
}

export const REGISTRY: readonly RegistryEntry[] = [
  {
    names: ['create'],
    kind: 'verb',
    summary: 'make an empty image',
    load: async () => (await import('./verbs/create.ts')).create,
  },
  {
    names: ['inspect'],
    kind: 'verb',
    summary: 'show what is in an image',
    load: async () => (await import('./verbs/inspect.ts')).inspect,
  },
  {
    names: ['ls'],
    kind: 'verb',
    summary: 'list files of an image',
    load: async () => (await import('./verbs/ls.ts')).ls,
  },
  {
    names: ['tree'],
    kind: 'verb',
    summary: 'show the files of an image as a tree',
    load: async () => (await import('./verbs/tree.ts')).tree,
  },
  {
    names: ['find'],
    kind: 'verb',
    summary: 'search for files of an image',
    load: async () => (await import('./verbs/find.ts')).find,
  },
  {
    names: ['cat'],
    kind: 'verb',
    summary: 'print files of an image',
    load: async () => (await import('./verbs/cat.ts')).cat,
  },
  {
    names: ['cp'],
    kind: 'verb',
    summary: 'copy files into, out of and between images',
    load: async () => (await import('./verbs/cp.ts')).cp,
  },
  {
    names: ['mv'],
    kind: 'verb',
    summary: 'rename or move files of an image',
    load: async () => (await import('./verbs/mv.ts')).mv,
  },
  {
    names: ['rm'],
    kind: 'verb',
    summary: 'remove files of an image',
    load: async () => (await import('./verbs/rm.ts')).rm,
  },
  {
    names: ['mkdir'],
    kind: 'verb',
    summary: 'make directories in an image',
    load: async () => (await import('./verbs/mkdir.ts')).mkdir,
  },
  {
    names: ['ln'],
    kind: 'verb',
    summary: 'make links in an image',
    load: async () => (await import('./verbs/ln.ts')).ln,
  },
  {
    names: ['stat'],
    kind: 'verb',
    summary: 'show what an image knows of a file',
    load: async () => (await import('./verbs/stat.ts')).stat,
  },
  {
    names: ['touch'],
    kind: 'verb',
    summary: 'set the times of files of an image',
    load: async () => (await import('./verbs/touch.ts')).touch,
  },
  {
    names: ['chmod'],
    kind: 'verb',
    summary: 'change the mode of files of an image',
    load: async () => (await import('./verbs/chmod.ts')).chmod,
  },
  {
    names: ['chown'],
    kind: 'verb',
    summary: 'change the owner of files of an image',
    load: async () => (await import('./verbs/chown.ts')).chown,
  },
  {
    names: ['df'],
    kind: 'verb',
    summary: 'show the space in the file systems of images',
    load: async () => (await import('./verbs/df.ts')).df,
  },
  {
    names: ['check'],
    kind: 'verb',
    summary: 'find and mend what is wrong with a file system',
    load: async () => (await import('./verbs/check.ts')).check,
  },
  {
    names: ['resize'],
    kind: 'verb',
    summary: 'make a file system larger or smaller',
    load: async () => (await import('./verbs/resize.ts')).resize,
  },
  {
    names: ['attach'],
    kind: 'verb',
    summary: 'make a device of an image',
    load: async () => (await import('./verbs/attach.ts')).attach,
  },
  {
    names: ['detach'],
    kind: 'verb',
    summary: 'detach devices',
    load: async () => (await import('./verbs/detach.ts')).detach,
  },
  {
    names: ['list'],
    kind: 'verb',
    summary: 'list the attached devices',
    load: async () => (await import('./verbs/list.ts')).list,
  },
  {
    names: ['losetup'],
    kind: 'applet',
    summary: 'set up and control loop devices',
    load: async () => (await import('./applets/losetup.ts')).losetup,
  },
  {
    names: ['fdisk'],
    kind: 'applet',
    summary: 'edit the partition table (MBR or GPT) of a disk image',
    load: async () => (await import('./applets/fdisk.ts')).fdisk,
  },
  {
    names: ['sfdisk'],
    kind: 'applet',
    summary: 'make and change the partition table (MBR or GPT) of a disk image by a script',
    load: async () => (await import('./applets/sfdisk.ts')).sfdisk,
  },
  {
    names: ['boot'],
    kind: 'verb',
    summary: 'boot an image in QEMU',
    load: async () => (await import('./verbs/boot.ts')).boot,
  },
  {
    names: ['shell'],
    kind: 'verb',
    summary: 'open a shell in which loop devices exist and can be mounted, without root',
    load: async () => (await import('./verbs/shell.ts')).shell,
  },
  {
    names: ['grub'],
    kind: 'applet',
    summary: 'install the GRUB legacy boot loader in disk images, from a shell of commands',
    load: async () => (await import('./applets/grub.ts')).grub,
  },
  {
    names: ['completion'],
    kind: 'verb',
    summary: 'print the completion script for a shell',
    load: async () => (await import('./verbs/completion.ts')).completion,
  },
  {
    names: ['applets'],
    kind: 'verb',
    summary: 'list the classic tools, or link their names to this program',
    load: async () => (await import('./verbs/applets.ts')).applets,
  },
  {
    names: ['mount'],
    kind: 'applet',
    summary: 'mount a file system of an image or a device',
    load: async () => (await import('./applets/mount.ts')).mount,
  },
  {
    names: ['umount'],
    kind: 'applet',
    summary: 'unmount file systems',
    load: async () => (await import('./applets/umount.ts')).umount,
  },
  {
    names: ['mdconfig'],
    kind: 'applet',
    summary: 'make devices of files and of memory, as on FreeBSD',
    load: async () => (await import('./applets/mdconfig.ts')).mdconfig,
  },
  {
    names: ['vnconfig'],
    kind: 'applet',
    summary: 'make disk devices of files, as on OpenBSD',
    load: async () => (await import('./applets/vnconfig.ts')).vnconfig,
  },
  {
    names: ['newfs_msdos'],
    kind: 'applet',
    summary: 'make a FAT12, FAT16 or FAT32 file system, as on the BSDs',
    load: async () => (await import('./applets/newfs-msdos.ts')).newfsMsdos,
  },
  {
    names: ['mkfs.fat', 'mkdosfs', 'mkfs.vfat', 'mkfs.msdos'],
    kind: 'applet',
    summary: 'make a FAT12, FAT16 or FAT32 file system',
    load: async () => (await import('./applets/mkfs-fat.ts')).mkfsFat,
  },
  {
    names: ['mke2fs', 'mkfs.ext2', 'mkfs.ext3', 'mkfs.ext4'],
    kind: 'applet',
    summary: 'make an ext2, ext3 or ext4 file system',
    load: async () => (await import('./applets/mke2fs.ts')).mke2fs,
  },
  {
    names: ['e2fsck', 'fsck.ext2', 'fsck.ext3', 'fsck.ext4'],
    kind: 'applet',
    summary: 'check and repair an ext2, ext3 or ext4 file system',
    load: async () => (await import('./applets/e2fsck.ts')).e2fsck,
  },
  {
    names: ['fsck.fat', 'fsck.vfat', 'fsck.msdos', 'dosfsck'],
    kind: 'applet',
    summary: 'check and repair a FAT file system',
    load: async () => (await import('./applets/fsck-fat.ts')).fsckFat,
  },
  {
    names: ['resize2fs'],
    kind: 'applet',
    summary: 'change the size of an ext2, ext3 or ext4 file system',
    load: async () => (await import('./applets/resize2fs.ts')).resize2fs,
  },
  {
    names: ['tune2fs'],
    kind: 'applet',
    summary: 'change the parameters of an ext2, ext3 or ext4 file system',
    load: async () => (await import('./applets/tune2fs.ts')).tune2fs,
  },
  {
    names: ['e2label'],
    kind: 'applet',
    summary: 'show or change the label of an ext2, ext3 or ext4 file system',
    load: async () => (await import('./applets/e2label.ts')).e2label,
  },
  {
    names: ['dumpe2fs'],
    kind: 'applet',
    summary: 'print the superblock and the groups of an ext2, ext3 or ext4 file system',
    load: async () => (await import('./applets/dumpe2fs.ts')).dumpe2fs,
  },
  {
    names: ['mkfs'],
    kind: 'applet',
    summary: 'make a file system of any type',
    load: async () => (await import('./applets/mkfs.ts')).mkfs,
  },
];

export function findCommand(name: string): RegistryEntry | undefined {
  return REGISTRY.find((entry) => entry.names.includes(name));
}
