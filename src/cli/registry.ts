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
    names: ['fdisk'],
    kind: 'applet',
    summary: 'edit the partition table (MBR) of a disk image',
    load: async () => (await import('./applets/fdisk.ts')).fdisk,
  },
  {
    names: ['boot'],
    kind: 'verb',
    summary: 'boot an image in QEMU',
    load: async () => (await import('./verbs/boot.ts')).boot,
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
    names: ['mkfs.fat', 'mkdosfs', 'mkfs.vfat', 'mkfs.msdos'],
    kind: 'applet',
    summary: 'make a FAT12, FAT16 or FAT32 file system',
    load: async () => (await import('./applets/mkfs-fat.ts')).mkfsFat,
  },
];

export function findCommand(name: string): RegistryEntry | undefined {
  return REGISTRY.find((entry) => entry.names.includes(name));
}
