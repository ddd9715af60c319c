// node bench/nbd-serve.mjs FILE SOCKET: the NBD server of an attached device, by itself. Ends with standard input.
import { fstatSync, openSync } from 'node:fs';
import { NbdExports } from '../dist/attach/nbd-exports.js';
import { createShareState } from '../dist/host/device-share.js';

const [file, socket] = process.argv.slice(2);
const fd = openSync(file, 'r+');
const state = createShareState(fstatSync(fd).size);
const share = { fd, path: file, offset: 0, sectorSize: 512, readOnly: false, state };
const exports = await NbdExports.listen(share, { family: 'loop', unit: 0, socket });
console.log('ready');
for await (const _ of process.stdin);
await exports.close();
