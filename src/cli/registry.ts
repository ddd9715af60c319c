import type { Applet } from './applet.ts';

/**
 * Every command by every name it has, and the module that holds it: a module is loaded only when its command runs,
 * so that start-up costs the same however many there are. test/unit/registry.test.ts checks names against modules.
 */
export interface RegistryEntry {
  readonly names: readonly string[];
  readonly kind: 'verb' | 'applet';
  /** One line for `userloop --help`. */
  readonly summary: string;
  load(): Promise<Applet>;
}

export const REGISTRY: readonly RegistryEntry[] = [];

export function findCommand(name: string): RegistryEntry | undefined {
  return REGISTRY.find((entry) => entry.names.includes(name));
}
