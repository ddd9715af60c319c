import { main } from './main.ts';

process.exitCode = await main(process.argv[1] ?? 'userloop', process.argv.slice(2));
