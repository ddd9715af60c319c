// Reads a tree back from an image with userloop's own reader and compares it with the tree that went in.
import fs from 'node:fs';
import path from 'node:path';
import { nodeFs, openImage } from '../../dist/index.js';

/**
 * `partition` is undefined for an image without a table. With `follow`, links of the source stand for what they point
 * to (file systems without links). Returns what was compared and every difference.
 */
export function compareTrees(image, partition, inImage, source, options = {}) {
  const disk = openImage(image, { readOnly: true });
  try {
    return compare(disk.fileSystem(partition), inImage, source, options.follow ?? false);
  } finally {
    disk.close();
  }
}

function compare(fileSystem, inImage, source, follow) {
  const inside = nodeFs(fileSystem);
  const { timeStep, ownership } = fileSystem.capabilities;
  const result = { files: 0, directories: 0, links: 0, bytes: 0, differences: [] };
  const pending = [[source, inImage]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [outer, inner] = next;
    const want = follow ? fs.statSync(outer) : fs.lstatSync(outer);
    const have = inside.lstatSync(inner, { throwIfNoEntry: false });
    function differs(what) {
      result.differences.push(`${inner}: ${what}`);
    }
    if (have === undefined) {
      differs('is missing');
      continue;
    }
    if (want.isDirectory()) {
      result.directories++;
      const names = fs.readdirSync(outer).sort();
      const found = have.isDirectory() ? inside.readdirSync(inner).sort() : [];
      if (names.join('\n') !== found.join('\n')) differs('holds other names');
      for (const name of names) pending.push([path.join(outer, name), `${inner}/${name}`]);
    } else if (want.isSymbolicLink()) {
      result.links++;
      if (!have.isSymbolicLink() || inside.readlinkSync(inner) !== fs.readlinkSync(outer))
        differs('points elsewhere');
      continue;
    } else {
      result.files++;
      result.bytes += want.size;
      if (!have.isFile() || !fs.readFileSync(outer).equals(inside.readFileSync(inner)))
        differs('has other content');
    }
    if (ownership && (want.mode & 0o7777) !== (have.mode & 0o7777)) differs('has another mode');
    if (Math.abs(want.mtimeMs - have.mtimeMs) > Math.max(1, timeStep / 1e6)) differs('has another time');
  }
  return result;
}
