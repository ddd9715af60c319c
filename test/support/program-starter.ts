// A small process that starts programs for a test's process (programs.ts): requests come on descriptor 3, results go to descriptor 4.
import { spawnSync } from 'node:child_process';
import { readMessage, writeMessage } from './pipe-messages.ts';
import type { ProgramRequest, ProgramResult } from './programs.ts';

const [REQUESTS, RESULTS] = [3, 4];

for (let request; (request = readMessage(REQUESTS)) !== undefined;) {
  const { program, args, options } = request as ProgramRequest;
  const { error, ...result } = spawnSync(program, args, options);
  const answer: ProgramResult = {
    ...result,
    // The properties of an error, as code and path, are not serialized with it.
    ...(error !== undefined && {
      failure: { message: error.message, ...Object.fromEntries(Object.entries(error)) },
    }),
  };
  writeMessage(RESULTS, answer);
}
