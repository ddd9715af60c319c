/**
 * The commands that stand in for the machine's own in the shell: those that know devices, which the others need not, and fdisk, which
 * takes the geometry of its command line for what it was when disks had one: today's fdisk starts partitions at sector 2048 all the same.
 */
export const SHELL_APPLETS: readonly string[] = [
  'losetup',
  'fdisk',
  'mount',
  'umount',
  'mdconfig',
  'newfs_msdos',
  'vnconfig',
];
