import { SYSTEM_FOLDERS } from '../../host/namespace.ts';
import { APPLETS_FOLDER, FALLBACK_FOLDER } from './furnish.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What commands see in the shell: our devices in /dev, our commands first on PATH, the machine's own, then ours for what it lacks. */
export function shellEnvironment(
  env: Environment,
  shell: { readonly pid: number; readonly folder: string },
): Record<string, string | undefined> {
  // A shell within a shell has the same two folders.
  const own = (env['PATH'] ?? '')
    .split(':')
    .filter((folder) => folder !== '' && folder !== APPLETS_FOLDER && folder !== FALLBACK_FOLDER);
  const system = SYSTEM_FOLDERS.filter((folder) => !own.includes(folder));
  const path = [APPLETS_FOLDER, ...own, ...system, FALLBACK_FOLDER].join(':');
  return {
    ...env,
    PATH: path,
    USERLOOP_SHELL_PATH: path,
    USERLOOP_SHELL: String(shell.pid),
    USERLOOP_RUNTIME_DIR: shell.folder,
    USERLOOP_DEV_FOLDER: '/dev',
    USERLOOP_BACKEND: 'user',
  };
}
