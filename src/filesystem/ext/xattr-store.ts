import { FsError } from '../../errors.ts';
import type { ExtCore } from './ext-core.ts';
import type { InodeRef } from './inode-table.ts';
export class XattrStore {
  readonly #core: ExtCore;
  constructor(core: ExtCore) {
    this.#core = core;
  }
  list(_ref: InodeRef): string[] {
    return [];
  }
  get(_ref: InodeRef, _name: string): Uint8Array | undefined {
    return undefined;
  }
  set(_ref: InodeRef, _name: string, _value: Uint8Array): void {
    throw new FsError('EOPNOTSUPP', { syscall: 'setxattr' });
  }
  remove(_ref: InodeRef, _name: string): void {
    throw new FsError('ENODATA', { syscall: 'removexattr' });
  }
  removeAll(ref: InodeRef): void {
    void this.#core;
    void ref;
  }
}
