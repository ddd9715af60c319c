import type { Applet } from '../applet.ts';
import { REGISTRY } from '../registry.ts';

/** What a completion script needs to know of one command. */
export type CompletedCommand = Pick<Applet, 'name' | 'summary' | 'options'>;

/** Every command under each of its names. */
export async function completedCommands(): Promise<CompletedCommand[]> {
  const commands: CompletedCommand[] = [];
  for (const entry of REGISTRY) {
    const { summary, options } = await entry.load();
    for (const name of entry.names) commands.push({ name, summary, options });
  }
  return commands;
}
