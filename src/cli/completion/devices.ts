/** A function for all three shells, bash, zsh and fish: the names of the attached devices, one a line. */
export const DEVICE_NAMES = `userloop list 2>/dev/null | sed -nE 's#^.*/((loop|md|vnd)[0-9]+[a-z]?) +[0-9].*#\\1#p'`;

/** Whose operands are devices: by their names, or as /dev/NAME, as the originals have them. */
export const TAKES_NAMES: readonly string[] = ['detach'];
export const TAKES_PATHS: readonly string[] = ['losetup', 'mount', 'umount'];
