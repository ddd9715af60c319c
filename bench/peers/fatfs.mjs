// fatfs IMAGE COUNT SIZE: writes and reads COUNT files of SIZE bytes through npm's fatfs.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

const fatfs = createRequire(import.meta.url)('fatfs');
const [image, count, size] = process.argv.slice(2);
const fd = fs.openSync(image, 'r+');
const driver = {
  sectorSize: 512,
  numSectors: fs.fstatSync(fd).size / 512,
  readSectors: (i, dest, done) => fs.read(fd, dest, 0, dest.length, i * 512, (error) => done(error)),
  writeSectors: (i, data, done) => fs.write(fd, data, 0, data.length, i * 512, (error) => done(error)),
};
const volume = fatfs.createFileSystem(driver);
await new Promise((resolve, reject) => volume.on('ready', resolve).on('error', reject));
const writeFile = promisify(volume.writeFile.bind(volume));
const readFile = promisify(volume.readFile.bind(volume));
const content = Buffer.alloc(Number(size), 'userloop');
for (let i = 0; i < Number(count); i++) await writeFile(`/F${i}.DAT`, content);
for (let i = 0; i < Number(count); i++) {
  if (!content.equals(await readFile(`/F${i}.DAT`))) throw new Error(`file ${i} differs`);
}
