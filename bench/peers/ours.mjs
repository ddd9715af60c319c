// ours IMAGE COUNT SIZE: the same calls through this library's node:fs face.
import { nodeFs, openImage } from '../../dist/index.js';

const [image, count, size] = process.argv.slice(2);
const disk = openImage(image);
const { promises: fs } = nodeFs(disk.fileSystem());
const content = Buffer.alloc(Number(size), 'userloop');
for (let i = 0; i < Number(count); i++) await fs.writeFile(`/F${i}.DAT`, content);
for (let i = 0; i < Number(count); i++) {
  if (!content.equals(await fs.readFile(`/F${i}.DAT`))) throw new Error(`file ${i} differs`);
}
disk.close();
