import { detachDevice } from '../../attach/client.ts';
import type { DeviceState } from '../../attach/device-state.ts';
import { listDevices, viewPath } from '../../attach/registry.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Unmounts and detaches everything that is attached in the shell. Returns what could not be done, as sentences. */
export async function closeDevices(env: Environment): Promise<string[]> {
  const failures: string[] = [];
  for (let devices = listDevices(env); devices.length > 0;) {
    const next = devices.find((device) => !holdsOthers(device, devices)) ?? devices[0]!;
    try {
      await detachDevice(next, { force: true });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      failures.push(`${viewPath(next)}: ${error.message}`);
    }
    devices = devices.filter((device) => device !== next);
  }
  return failures;
}

/** Does the image of another device lie in a file system that is mounted from this one? */
function holdsOthers(device: DeviceState, devices: readonly DeviceState[]): boolean {
  return devices.some(
    (other) =>
      other !== device && device.mounts.some(({ directory }) => other.image.startsWith(`${directory}/`)),
  );
}

/** What is left behind by --keep, and how to get at it. */
export function describeKept(devices: readonly DeviceState[], shell: number): string {
  const lines = devices.flatMap((device) => {
    const overlay = device.overlay === undefined ? '' : `, written to ${device.overlay}`;
    const what = `  ${viewPath(device)}: ${device.image === '' ? device.source : device.image}${overlay}`;
    const mounts = device.mounts.map(({ directory }) => `    mounted on ${directory}`);
    const socket = device.nbdSocket === undefined ? [] : [`    nbd+unix:///?socket=${device.nbdSocket}`];
    return [what, ...mounts, ...socket];
  });
  const count = devices.length === 1 ? 'this device' : `these ${devices.length} devices`;
  return [`userloop shell: kept ${count}:`, ...lines, `Back in: userloop shell --enter ${shell}`, ''].join(
    '\n',
  );
}
