import { programArguments } from '../host/program-arguments.ts';
import { main } from './main.ts';

export { main };

/** What bin/userloop does. */
export function run(): void {
  void main(process.argv[1] ?? 'userloop', programArguments()).then((status) => {
    process.exitCode = status;
  });
}
