import fs from 'node:fs';
import { freeKernelLoop } from '../../../attach/kernel-loop-state.ts';
import type { DeviceState } from '../../../attach/device-state.ts';
import { viewPath } from '../../../attach/registry.ts';
import type { ColumnName } from './columns.ts';
import type { Listing } from './command-line.ts';
import type { NamedDevice } from './devices.ts';
import { type Row, renderJson, renderRaw, renderTable } from './table.ts';

/** The line of the old format: `/dev/loop0: [65024]:2211888 (/tmp/c.img), offset 32256`. */
export function oldLine(state: DeviceState): string {
  const { imageDevice, imageInode, image, offset, sizeLimit } = state;
  const identity = imageInode === '' ? '[]:' : `[${imageDevice.padStart(4, '0')}]:${imageInode}`;
  const place = (offset > 0 ? `, offset ${offset}` : '') + (sizeLimit > 0 ? `, sizelimit ${sizeLimit}` : '');
  return `${viewPath(state)}: ${identity} (${image})${place}\n`;
}

/** The listing of devices that are attached. */
export function renderListing(states: readonly DeviceState[], listing: Listing): string {
  return render(states.map(attachedCells), listing);
}

/** The listing of one device, which may have nothing attached. */
export function renderOne(device: NamedDevice, listing: Listing): string {
  return render([device.state === undefined ? freeCells(device) : attachedCells(device.state)], listing);
}

type Cells = Readonly<Record<ColumnName, string | undefined>>;

function render(devices: readonly Cells[], { form, headings, columns }: Listing): string {
  const rows = devices.map((cells): Row => columns.map(({ name }) => cells[name]));
  if (form === 'json') return renderJson(columns, rows);
  return form === 'raw' ? renderRaw(columns, rows, headings) : renderTable(columns, rows, headings);
}

function attachedCells(state: DeviceState): Cells {
  const path = viewPath(state);
  return {
    NAME: path,
    AUTOCLEAR: bit(state.autoclear),
    'BACK-FILE': state.image,
    'BACK-INO': state.imageInode === '' ? undefined : state.imageInode,
    'BACK-MAJ:MIN': state.imageDevice === '' ? undefined : numbers(state.imageDevice, 8),
    'MAJ:MIN': state.backend === 'kernel' ? numbers(deviceNumber(path), 3) : numbers('0', 3),
    OFFSET: `${state.offset}`,
    PARTSCAN: bit(state.partitionScan),
    RO: bit(state.readOnly),
    SIZELIMIT: `${state.sizeLimit}`,
    DIO: bit(state.directIo),
    'LOG-SEC': `${state.sectorSize}`,
  };
}

function freeCells({ kind, unit, path }: NamedDevice): Cells {
  const kernel = kind === 'kernel' ? freeKernelLoop(unit) : undefined;
  return {
    NAME: path,
    AUTOCLEAR: '0',
    'BACK-FILE': undefined,
    'BACK-INO': undefined,
    'BACK-MAJ:MIN': undefined,
    'MAJ:MIN': numbers(kind === 'kernel' ? deviceNumber(path) : '0', 3),
    OFFSET: undefined,
    PARTSCAN: bit(kernel?.takesPartitions ?? true),
    RO: bit(kernel?.readOnly ?? false),
    SIZELIMIT: undefined,
    DIO: '0',
    'LOG-SEC': `${kernel?.sectorSize ?? 512}`,
  };
}

function bit(value: boolean): string {
  return value ? '1' : '0';
}

/** st_rdev; 0 for a file that is no device. */
function deviceNumber(path: string): string {
  return `${fs.statSync(path, { bigint: true, throwIfNoEntry: false })?.rdev ?? 0}`;
}

/** `MAJOR:MINOR`, padded as util-linux 2.38 pads it, so that the colons are below each other; of a dev_t as glibc packs it. */
function numbers(device: string, majorWidth: number): string {
  const value = BigInt(device);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n);
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffffff00n);
  return `${`${major}`.padStart(majorWidth)}:${`${minor}`.padEnd(3)}`;
}
