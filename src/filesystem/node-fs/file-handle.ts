import type { ModeArgument, TimeArgument } from './arguments.ts';
import type { ReadFileOptions, WriteFileOptions } from './content-calls.ts';
import type { ReadOptions } from './open-file-calls.ts';
import type { StatOptions } from './attribute-calls.ts';
import type { BigIntStats, Stats } from './stats.ts';
import type { SyncApi } from './sync-api.ts';

/** `fs.promises.FileHandle`: an open file with its calls as promises. */
export class FileHandle<B extends Uint8Array> {
  #fd: number;
  readonly #sync: SyncApi<B>;

  constructor(fd: number, sync: SyncApi<B>) {
    this.#fd = fd;
    this.#sync = sync;
  }

  /** -1 once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  async read<T extends ArrayBufferView = B>(
    bufferOrOptions?: T | (ReadOptions & { readonly buffer?: T | undefined }) | null,
    offsetOrOptions?: number | ReadOptions | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: T }> {
    if (ArrayBuffer.isView(bufferOrOptions)) {
      const bytesRead = this.#sync.readSync(this.#fd, bufferOrOptions, offsetOrOptions, length, position);
      return { bytesRead, buffer: bufferOrOptions };
    }
    const options = bufferOrOptions ?? {};
    const buffer = options.buffer ?? (new Uint8Array(16_384) as ArrayBufferView as T);
    return { bytesRead: this.#sync.readSync(this.#fd, buffer, options), buffer };
  }

  async write<T extends ArrayBufferView | string>(
    data: T,
    offsetOrPosition?: number | null,
    lengthOrEncoding?: number | string | null,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffer: T }> {
    const bytesWritten =
      typeof data === 'string'
        ? this.#sync.writeSync(this.#fd, data, offsetOrPosition, lengthOrEncoding as string | null)
        : this.#sync.writeSync(this.#fd, data, offsetOrPosition, lengthOrEncoding as number | null, position);
    return { bytesWritten, buffer: data };
  }

  async readv<T extends readonly ArrayBufferView[]>(
    buffers: T,
    position?: number,
  ): Promise<{ bytesRead: number; buffers: T }> {
    return { bytesRead: this.#sync.readvSync(this.#fd, buffers, position), buffers };
  }

  async writev<T extends readonly ArrayBufferView[]>(
    buffers: T,
    position?: number,
  ): Promise<{ bytesWritten: number; buffers: T }> {
    return { bytesWritten: this.#sync.writevSync(this.#fd, buffers, position), buffers };
  }

  async readFile(options?: ReadFileOptions<null> | null): Promise<B>;
  async readFile(
    options: (ReadFileOptions<string> & { readonly encoding: string }) | string,
  ): Promise<string>;
  async readFile(options?: ReadFileOptions<string | null> | string | null): Promise<string | B>;
  async readFile(options?: ReadFileOptions<string | null> | string | null): Promise<string | B> {
    return this.#sync.readFileSync(this.#fd, options);
  }

  async writeFile(data: string | ArrayBufferView, options?: WriteFileOptions): Promise<void> {
    this.#sync.writeFileSync(this.#fd, data, options);
  }

  async appendFile(data: string | ArrayBufferView, options?: WriteFileOptions): Promise<void> {
    this.#sync.appendFileSync(this.#fd, data, options);
  }

  async stat(options?: StatOptions & { readonly bigint?: false | undefined }): Promise<Stats>;
  async stat(options: StatOptions & { readonly bigint: true }): Promise<BigIntStats>;
  async stat(options?: StatOptions): Promise<Stats | BigIntStats>;
  async stat(options?: StatOptions): Promise<Stats | BigIntStats> {
    return this.#sync.fstatSync(this.#fd, options);
  }

  async truncate(length?: number): Promise<void> {
    this.#sync.ftruncateSync(this.#fd, length);
  }

  async chmod(mode: ModeArgument): Promise<void> {
    this.#sync.fchmodSync(this.#fd, mode);
  }

  async chown(uid: number, gid: number): Promise<void> {
    this.#sync.fchownSync(this.#fd, uid, gid);
  }

  async utimes(atime: TimeArgument, mtime: TimeArgument): Promise<void> {
    this.#sync.futimesSync(this.#fd, atime, mtime);
  }

  async sync(): Promise<void> {
    this.#sync.fsyncSync(this.#fd);
  }

  async datasync(): Promise<void> {
    this.#sync.fdatasyncSync(this.#fd);
  }

  /** Closing it twice does nothing, as with node's. */
  async close(): Promise<void> {
    if (this.#fd === -1) return;
    this.#sync.closeSync(this.#fd);
    this.#fd = -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
