import type { Field } from './struct.ts';

/**
 * Cylinder, head, sector: how the BIOS's int 13h addressed a disk, and what partition tables still carry beside the
 * sector number. Cylinders and heads count from 0, sectors from 1.
 */
export interface Chs {
  /** 0 to 1023 on disk. */
  readonly cylinder: number;
  /** 0 to 255. */
  readonly head: number;
  /** 1 to 63; 0 in an empty entry. */
  readonly sector: number;
}

/** What a disk claims to be made of. */
export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** Ten bits on disk. */
export const MAX_CYLINDER = 1023;

/** The three bytes of an address in a partition table: head; sector with the cylinder's bits 8 and 9 on top; cylinder. */
export function chs(offset: number): Field<Chs> {
  return {
    offset,
    length: 3,
    get: (view, base) => {
      const sector = view.getUint8(base + offset + 1);
      return {
        cylinder: view.getUint8(base + offset + 2) | ((sector & 0xc0) << 2),
        head: view.getUint8(base + offset),
        sector: sector & 0x3f,
      };
    },
    set: (view, base, value) => {
      view.setUint8(base + offset, value.head);
      view.setUint8(base + offset + 1, (value.sector & 0x3f) | ((value.cylinder >> 2) & 0xc0));
      view.setUint8(base + offset + 2, value.cylinder & 0xff);
    },
  };
}

/** The address of a sector; the cylinder may exceed what fits on disk. */
export function chsOfSector(sector: number, geometry: Omit<Geometry, 'cylinders'>): Chs {
  const track = Math.floor(sector / geometry.sectorsPerTrack);
  return {
    cylinder: Math.floor(track / geometry.heads),
    head: track % geometry.heads,
    sector: (sector % geometry.sectorsPerTrack) + 1,
  };
}

/** The sector at an address, counted from 0. */
export function sectorOfChs(address: Chs, geometry: Omit<Geometry, 'cylinders'>): number {
  return (address.cylinder * geometry.heads + address.head) * geometry.sectorsPerTrack + (address.sector - 1);
}

/** Sectors a cylinder. */
export function cylinderSize(geometry: Omit<Geometry, 'cylinders'>): number {
  return geometry.heads * geometry.sectorsPerTrack;
}
