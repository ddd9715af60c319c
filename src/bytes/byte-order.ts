/** Are the words of typed arrays as most formats have them on disk, lowest byte first? So it is wherever Node is usual. */
export const isLittleEndian: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
