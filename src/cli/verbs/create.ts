import fs from 'node:fs';
import path from 'node:path';
import { formatSize, parseSize } from '../../bytes/size.ts';
import { FsError, UsageError, hasCode } from '../../errors.ts';
import { FileDevice } from '../../host/file-device.ts';
import { removeFile } from '../../host/remove-file.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import { checkOperands } from './operand.ts';

/** `userloop create`: a new, empty image. */
export const create = defineApplet({
  name: 'create',
  kind: 'verb',
  summary: 'make an empty image',
  usage: ['userloop create [OPTION]... IMAGE SIZE'],
  description: [
    'Makes a file of SIZE bytes, all zero and sparse, so that it takes no space until something is written.',
    'SIZE takes the suffixes K, M, G, T, P, E (or KiB, MiB …) in powers of 1024 and KB, MB … in powers of 1000; AxB and AxBxC multiply, as in 516096x1000 (cylinders) or 80x2x18x512 (a floppy).',
  ],
  options: [{ short: 'f', long: 'force', description: 'overwrite a file that is there' }],
  examples: [
    { command: 'userloop create floppy.img 1440K', explanation: 'a 3.5 inch floppy' },
    {
      command: 'userloop create disk.img 516096x1000',
      explanation: 'a disk of 1000 cylinders with 16 heads and 63 sectors',
    },
  ],
  exitStatus: { 0: 'the image was made', 1: 'it could not be', 2: 'wrong usage' },
  run(io, argv) {
    const args = getopt(argv, create.options);
    checkOperands(args.operands, 2, 2);
    const [name, text] = args.operands as [string, string];
    const size = parseProduct(text);
    if (size === undefined)
      throw new UsageError(`"${text}" is not a size, expected something like 1440K, 500M or 516096x1000`);
    if (size === 0) throw new UsageError('an image of 0 bytes can hold nothing');
    const target = path.resolve(io.cwd, name);
    const overwrite = args.has('force');
    // Only a file is replaced: to truncate a device or a directory is never what was meant.
    if (overwrite && fs.statSync(target, { throwIfNoEntry: false })?.isFile() === false) {
      throw new FsError('EINVAL', { detail: `"${name}" is there and is not a regular file` });
    }
    try {
      FileDevice.create(target, size, { overwrite }).close();
    } catch (error) {
      if (hasCode(error, 'EEXIST')) {
        throw new FsError('EEXIST', { detail: `"${name}" is there; --force overwrites it` });
      }
      if (hasCode(error, 'EFBIG') || hasCode(error, 'EINVAL')) {
        removeFile(target);
        throw new FsError('EFBIG', {
          detail: `the host cannot hold a file of ${size} bytes (${formatSize(size)})`,
        });
      }
      throw error;
    }
    return 0;
  },
});

/** `516096x1000`: sizes, multiplied. */
function parseProduct(text: string): number | undefined {
  // In hexadecimal an x is no sign of multiplication.
  const factors = /^0x/i.test(text) ? [text] : text.split(/[x*]/i);
  let product = 1;
  for (const factor of factors) {
    const size = parseSize(factor);
    if (size === undefined) return undefined;
    product *= size;
  }
  return Number.isSafeInteger(product) ? product : undefined;
}
