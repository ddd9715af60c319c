import fs from 'node:fs';
import { NbdExports, type NbdListenOptions } from '../../src/attach/nbd-exports.ts';
import { type DeviceShare, createShareState } from '../../src/host/device-share.ts';

/** What test/support/nbd-server.ts starts: a file as an NBD server, until standard input ends. */
export interface ServerRequest {
  readonly file: string;
  readonly readOnly: boolean;
  readonly listen: NbdListenOptions;
}

const { file, readOnly, listen } = JSON.parse(process.argv[2]!) as ServerRequest;
const fd = fs.openSync(file, readOnly ? 'r' : 'r+');
const share: DeviceShare = {
  fd,
  path: file,
  offset: 0,
  sectorSize: 512,
  readOnly,
  state: createShareState(fs.fstatSync(fd).size),
};
const exports = await NbdExports.listen(share, listen);
console.log(JSON.stringify({ address: exports.address }));
for await (const line of process.stdin) {
  if (String(line).trim() === 'holders') console.log(JSON.stringify(exports.holders()));
  if (String(line).trim() === 'idle') {
    await exports.whenIdle();
    console.log('idle');
  }
}
await exports.close();
