import type { Io } from '../../io.ts';
import { Failure } from '../e2fsprogs/failure.ts';

/** What `-J` says. */
export interface JournalChoice {
  /** MiB. */
  size?: number;
  /** Blocks. */
  fastCommitSize?: number;
  /** A block number, as it was typed. */
  location?: string;
}

const VALID =
  '\nBad journal options specified.\n\n' +
  'Journal options are separated by commas, and may take an argument which\n' +
  "\tis set off by an equals ('=') sign.\n\nValid journal options are:\n" +
  '\tsize=<journal size in megabytes>\n' +
  '\tdevice=<journal device>\n' +
  '\tlocation=<journal location>\n\n' +
  'The journal size must be between 1024 and 10240000 filesystem blocks.\n\n';

/** `calledAs` prefixes what is refused here though the tool does it. */
export function parseJournalOptions(_io: Io, text: string, calledAs: string): JournalChoice {
  const result: JournalChoice = {};
  let bad = false;
  for (const token of text.split(',')) {
    const equals = token.indexOf('=');
    const name = equals < 0 ? token : token.slice(0, equals);
    const value = equals < 0 ? undefined : token.slice(equals + 1);
    switch (name) {
      case 'device':
        throw new Failure(`${calledAs}: -J device is not supported: the journal lies in the file system\n`);
      case 'size':
      case 'fast_commit_size': {
        // strtoul(3): what follows the digits is an error.
        const match = value === undefined ? null : /^\s*\+?(0x[0-9a-f]+|\d+)(.*)$/i.exec(value);
        if (match === null || match[2] !== '') bad = true;
        else if (name === 'size') result.size = Number(match[1]);
        else result.fastCommitSize = Number(match[1]);
        break;
      }
      case 'location':
        if (value === undefined) bad = true;
        else result.location = value;
        break;
      default:
        if (name !== '') bad = true;
    }
  }
  if (bad) throw new Failure(VALID);
  return result;
}
