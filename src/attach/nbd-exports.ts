import type { DeviceFamily } from '../disk/device-views.ts';
import type { DeviceShare } from '../host/device-share.ts';
import type { Holder, ListenRequest } from './device-state.ts';

export interface NbdListenOptions {
  readonly family: DeviceFamily;
  readonly unit: number;
  /** A unix socket. */
  readonly socket: string;
  readonly tcp?: ListenRequest;
}

/** The device as NBD exports: "" and its name for the whole, one a partition by the partition's name (`loop0p1`) and number (`1`). */
export class NbdExports {
  static async listen(share: DeviceShare, options: NbdListenOptions): Promise<NbdExports> {
    throw new Error(`not there yet: ${String(share)} ${String(options)}`);
  }

  /** `HOST:PORT`, where TCP was asked for. */
  get address(): string | undefined {
    return undefined;
  }

  /** Clients that are connected, our own commands included. */
  holders(): Holder[] {
    return [];
  }

  async whenIdle(): Promise<void> {}

  /** Ends all connections and threads; whoever is in the middle of a request gets its answer first. */
  async close(): Promise<void> {}
}
