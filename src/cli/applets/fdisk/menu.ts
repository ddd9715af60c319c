/** The help text of the main menu (`m`), in the tool's words. */
export const MAIN_MENU = `
Help:

  DOS (MBR)
   a   toggle a bootable flag
   b   edit nested BSD disklabel
   c   toggle the dos compatibility flag

  Generic
   d   delete a partition
   F   list free unpartitioned space
   l   list known partition types
   n   add a new partition
   p   print the partition table
   t   change a partition type
   v   verify the partition table
   i   print information about a partition

  Misc
   m   print this menu
   u   change display/entry units
   x   extra functionality (experts only)

  Script
   I   load disk layout from sfdisk script file
   O   dump disk layout to sfdisk script file

  Save & Exit
   w   write table to disk and exit
   q   quit without saving changes

  Create a new label
   g   create a new empty GPT partition table
   G   create a new empty SGI (IRIX) partition table
   o   create a new empty MBR (DOS) partition table
   s   create a new empty Sun partition table

`;

/** The help text of the expert menu. */
export const EXPERT_MENU = `
Help (expert commands):

  DOS (MBR)
   b   move beginning of data in a partition
   F   fix partitions C/H/S values
   i   change the disk identifier

  Geometry (for the current label)
   c   change number of cylinders
   h   change number of heads
   s   change number of sectors/track

  Generic
   p   print the partition table
   v   verify the partition table
   d   print the raw data of the first sector from the device
   D   print the raw data of the disklabel from the device
   f   fix partitions order
   m   print this menu

  Save & Exit
   q   quit without saving changes
   r   return to main menu

`;

/** What the menus offer and we do not have, by the menu's letter. */
export const UNSUPPORTED_COMMANDS: Readonly<Record<'main' | 'expert', Readonly<Record<string, string>>>> = {
  main: {
    b: 'nested BSD disklabels',
    I: 'sfdisk scripts',
    O: 'sfdisk scripts',
    g: 'GPT partition tables',
    G: 'SGI (IRIX) partition tables',
    s: 'Sun partition tables',
  },
  expert: {
    b: 'moving the beginning of data in a partition',
    F: 'fixing C/H/S values',
    c: 'changing the number of cylinders (give it as -C)',
    h: 'changing the number of heads (give it as -H)',
    s: 'changing the number of sectors/track (give it as -S)',
    d: 'printing raw data',
    D: 'printing raw data',
    f: 'fixing the order of partitions',
  },
};
