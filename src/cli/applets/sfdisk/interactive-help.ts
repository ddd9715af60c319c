/** What `help` prints at sfdisk's prompt. */
export const INTERACTIVE_HELP = `
Help:

 Commands:
   write    write table to disk and exit
   quit     show new situation and wait for user's feedback before write
   abort    exit sfdisk shell
   print    display the partition table
   help     show this help text

   Ctrl-D   the same as 'quit'

 Input format:
   <start>, <size>, <type>, <bootable>

   <start>  Beginning of the partition in sectors, or bytes if
            specified in the format <number>{K,M,G,T,P,E,Z,Y}.
            The default is the first free space.

   <size>   Size of the partition in sectors, or bytes if
            specified in the format <number>{K,M,G,T,P,E,Z,Y}.
            The default is all available space.

   <type>   The partition type.  Default is a Linux data partition.
            MBR: hex or L,S,Ex,X,U,R,V shortcuts.
            GPT: UUID or L,S,H,U,R,V shortcuts.

   <bootable>  Use '*' to mark an MBR partition as bootable.

 Example:
   , 4G     Creates a 4GiB partition at default start offset.

`;
