/** The commands that stand in for the machine's own in the shell: those that know devices. The others work on them as they are. */
export const SHELL_APPLETS: readonly string[] = [
  'losetup',
  'mount',
  'umount',
  'mdconfig',
  'newfs_msdos',
  'vnconfig',
];
