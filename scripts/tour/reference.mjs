// The reference tools' verdict on an image, where the machine has them. They never repair.
import fs from 'node:fs';
import path from 'node:path';
import { FileDevice, extentsOf, openImage } from '../../dist/index.js';
import { failed, passed, skipped } from './console.mjs';

export function judgeExt(session, image, offset = 0) {
  const result = session.judge('e2fsck', ['-fn', offset === 0 ? image : `${image}?offset=${offset}`]);
  verdict('e2fsck -fn', image, result, 'e2fsprogs');
}

export function judgeFat(session, image, partition) {
  const offset = partition === undefined ? 0 : offsetOf(session, image, partition);
  const volume = partition === undefined ? image : cutOut(session, image, partition);
  verdict('fsck.fat -n', image, session.judge('fsck.fat', ['-n', volume]), 'dosfstools');
  if (volume !== image) fs.rmSync(path.join(session.folder, volume));
  verdict('mdir', image, session.judge('mdir', ['-i', `${image}@@${offset}`, '-/', '-b', '::']), 'mtools');
}

export function judgeTable(session, image) {
  verdict('sfdisk --verify', image, session.judge('sfdisk', ['--verify', image]), 'fdisk');
}

function verdict(name, image, result, debianPackage) {
  if (result === undefined) skipped(`${name} is not on this machine (Debian: ${debianPackage})`);
  else if (result.status === 0) passed(`${name} has nothing to say against ${image}`);
  else failed(`${name} on ${image}: status ${result.status}\n${result.text}`);
}

function offsetOf(session, image, partition) {
  return withImage(session, image, (disk) => disk.partition(partition).offset);
}

/** fsck.fat takes no offset: the partition as a sparse file of its own. */
function cutOut(session, image, partition) {
  const name = `${image}.partition`;
  withImage(session, image, (disk) => {
    const from = disk.volume(partition);
    const to = FileDevice.create(path.join(session.folder, name), from.size, { overwrite: true });
    const chunk = new Uint8Array(1 << 20);
    for (const { kind, offset, length } of extentsOf(from, 0, from.size)) {
      for (let done = 0; kind === 'data' && done < length; done += chunk.length) {
        const part = chunk.subarray(0, Math.min(chunk.length, length - done));
        from.read(offset + done, part);
        to.write(offset + done, part);
      }
    }
    to.close();
  });
  return name;
}

function withImage(session, image, body) {
  const disk = openImage(path.join(session.folder, image), { readOnly: true });
  try {
    return body(disk);
  } finally {
    disk.close();
  }
}
