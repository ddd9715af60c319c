import { pbkdf2 } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { nativeMountOperations } from '../../src/host/native-mount.ts';
import { temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const operations = nativeMountOperations();
/** As many as there are threads that calls wait for. */
const THREADS = 4;

test.skipIf(operations === undefined)(
  'a call to unmount that waits for its turn still has its name after a garbage collection',
  async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let round = 0; round < 5; round++) {
      const busy = Array.from(
        { length: THREADS },
        () => new Promise((resolve) => pbkdf2('a', 'b', 100_000, 64, 'sha512', resolve)),
      );
      // It is there and no mount point: EINVAL, or EPERM for who may not unmount. Another name would not be there.
      const answers = Array.from({ length: 10 }, () => operations!.unmountAside(folder, 0));
      collect();
      const junk = Array.from({ length: 2000 }, (_, i) => Buffer.alloc(8 + (i % 32), 0x41));
      for (const answer of await Promise.allSettled(answers)) {
        expect(answer.status).toBe('rejected');
        const { code } = (answer as PromiseRejectedResult).reason as { code: string };
        expect(['EINVAL', 'EPERM']).toContain(code);
      }
      await Promise.all(busy);
      expect(junk).toHaveLength(2000);
    }
  },
);
