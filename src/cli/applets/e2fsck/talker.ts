import { type CheckFinding, type CheckObserver, LEAVE } from '../../../filesystem/check.ts';
import type { Io } from '../../io.ts';
import { print } from '../../verbs/print.ts';
import type { CommandLine } from './command-line.ts';
import type { ProgressTeller } from './progress.ts';

/** What the tool tells of, but does not call the file system wrong for. */
const UNCOUNTED: ReadonlySet<string> = new Set(['ext-count', 'ext-journal-leftover', 'ext-resize-inode']);

/** Tells findings in the tool's words and answers its questions. */
export class Talker implements CheckObserver {
  mended = 0;
  left = 0;
  isSuperblockLost = false;
  /** `-p` has come across what a person should decide. */
  isStopped = false;
  readonly #io: Io;
  readonly #command: CommandLine;
  readonly #progress: ProgressTeller | undefined;
  readonly #isSilent: boolean;

  constructor(io: Io, command: CommandLine, progress?: ProgressTeller, isSilent = false) {
    this.#io = io;
    this.#command = command;
    this.#progress = progress;
    this.#isSilent = isSilent;
  }

  /** The same without words; what would be asked is answered with yes where the person was asked once already. */
  silent(): Talker {
    return new Talker(this.#io, this.#command, undefined, true);
  }

  report(finding: CheckFinding): number {
    const { severity, mend, toolText, toolErrorText = '' } = finding;
    if (finding.code === 'ext-superblock' && severity === 'fatal') this.isSuperblockLost = true;
    const { manner } = this.#command;
    // With -n, what is only unfinished is no fault.
    if (severity === 'note' && (finding.code !== 'ext-orphans' || manner === 'no')) return LEAVE;
    if (!this.#isSilent && !this.isStopped) this.#io.stderr.write(toolErrorText);
    if (manner === 'preen') return this.#preen(finding);
    let answer = mend !== undefined && manner === 'yes';
    if (mend === undefined && finding.code === 'ext-quota') this.#say(`${toolText}? no\n\n`);
    else if (mend === undefined) this.#say(toolText);
    else if (!mend.asks) {
      answer = manner !== 'no';
      this.#say(toolText);
    } else {
      this.#say(`${toolText}${mend.choices[0]!.label}`);
      if (manner === 'ask' && !this.#isSilent) answer = this.#ask();
      else if (manner === 'ask') answer = true;
      else this.#say(`? ${answer ? 'yes' : 'no'}\n\n`);
    }
    if (!answer && UNCOUNTED.has(finding.code)) return LEAVE;
    return this.#count(answer);
  }

  tell(text: string): void {
    if (this.#command.manner !== 'preen') this.#say(text);
  }

  #preen({ mend, toolText, code }: CheckFinding): number {
    const { target } = this.#command;
    if (code === 'ext-orphans' && mend?.safe === true && !this.isStopped) {
      // A line for each of them.
      this.#say(toolText.replaceAll(/^(?=.)/gm, `${target}: `));
      return this.#count(true);
    }
    if (mend?.safe === true && !this.isStopped) {
      const done = mend.choices[0]!.label === '' ? '.' : 'FIXED.';
      this.#say(`${target}: ${mend.asks ? `${toolText}${done}` : `${toolText.trimEnd()} `}\n`);
      return this.#count(true);
    }
    if (!this.isStopped) {
      this.#say(`${target}: ${toolText.trimEnd()}\n`);
      if (!this.#isSilent) {
        this.#io.stderr.write(
          `\n\n${target}: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n\t(i.e., without -a or -p options)\n`,
        );
      }
      this.isStopped = true;
    }
    return this.#count(false);
  }

  #ask(): boolean {
    for (;;) {
      this.#say('<y>? ');
      const line = this.#io.stdin.readLine();
      if (line === undefined) return false;
      if (/^(y(es)?)?$/i.test(line.trim())) return true;
      if (/^no?$/i.test(line.trim())) return false;
    }
  }

  #count(answer: boolean): number {
    if (answer) this.mended++;
    else this.left++;
    return answer ? 0 : LEAVE;
  }

  /** What is no finding, and told in any manner. */
  print(text: string): void {
    this.#progress?.clear();
    print(this.#io, text);
  }

  #say(text: string): void {
    if (!this.#isSilent) this.print(text);
  }
}
