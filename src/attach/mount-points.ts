/** In a device's folder: a list of the directories on which file systems of it are, or are about to be, mounted. Who cleans up after a killed process needs it. */
export const MOUNT_POINTS_FILE = 'mount-points.json';
