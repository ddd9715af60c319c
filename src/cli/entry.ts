import { programArguments } from '../host/program-arguments.ts';
import { main } from './main.ts';

process.exitCode = await main(process.argv[1] ?? 'userloop', programArguments());
