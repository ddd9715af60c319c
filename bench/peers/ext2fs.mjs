// ext2fs IMAGE COUNT SIZE: writes and reads COUNT files of SIZE bytes through npm's ext2fs.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { withMountedDisk } = require('ext2fs');
const { FileDisk, withOpenFile } = require('file-disk');
const [image, count, size] = process.argv.slice(2);
await withOpenFile(image, 'r+', async (handle) => {
  await withMountedDisk(new FileDisk(handle), 0, async ({ promises: fs }) => {
    const content = Buffer.alloc(Number(size), 'userloop');
    for (let i = 0; i < Number(count); i++) await fs.writeFile(`/F${i}.DAT`, content);
    for (let i = 0; i < Number(count); i++) {
      if (!content.equals(Buffer.from(await fs.readFile(`/F${i}.DAT`, null))))
        throw new Error(`file ${i} differs`);
    }
  });
});
