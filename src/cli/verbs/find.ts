import type { FileSystem } from '../../filesystem/file-system.ts';
import { resolvePath, splitPath } from '../../filesystem/path.ts';
import { UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { forEachOperand } from './operand.ts';
import { type FindExpression, parseExpression } from './find-expression.ts';
import { print } from './print.ts';
import { walkTree } from './walk.ts';

/** `userloop find`: files of an image by name, type, size and the like. */
export const find = defineApplet({
  name: 'find',
  kind: 'verb',
  summary: 'search for files of an image',
  usage: ['userloop find IMAGE[:N|@OFFSET][:/PATH]... [EXPRESSION]'],
  description: [
    'Walks the trees that are named and prints the path of each file for which the expression holds, as find(1) does. Symbolic links are never followed.',
    'Tests: -name PATTERN, -iname PATTERN, -path PATTERN, -ipath PATTERN, -type bcdpfls, -size [+-]N[cwbkMG], -empty, -perm [-/]MODE, -user ID, -group ID, -uid [+-]N, -gid [+-]N, -inum [+-]N, -links [+-]N, -mtime [+-]DAYS, -mmin [+-]MINUTES, -newer IMAGE:/PATH, -true, -false.',
    'Operators: ( EXPR ), ! EXPR, -not EXPR, EXPR -a EXPR, EXPR -and EXPR, EXPR EXPR, EXPR -o EXPR, EXPR -or EXPR. Actions: -print, -print0, -ls, -prune, -quit. Global: -maxdepth LEVELS, -mindepth LEVELS, -depth.',
  ],
  options: [],
  examples: [
    { command: "userloop find disk.img:1 -name '*.conf' -size +4k", explanation: 'large files of a kind' },
    { command: 'userloop find disk.img:/ -type l -print0', explanation: 'all symbolic links, for xargs -0' },
  ],
  exitStatus: { 0: 'all was walked', 1: 'some could not be', 2: 'wrong usage' },
  notSupported: [
    '-exec, -execdir, -ok, -okdir, -delete, -printf, -fprint and all tests and options that are not named above',
    '-L, -H: links are never followed',
  ],
  run(io, argv) {
    const start = argv.findIndex((argument) => /^(-.|[()!]$)/.test(argument));
    const operands = start < 0 ? argv : argv.slice(0, start);
    if (operands.length === 0) throw new UsageError('no image is named; it comes before the expression');
    const expression = parseExpression(
      io,
      start < 0 ? [] : argv.slice(start),
      clockFromEnvironment(io.env)(),
    );
    let ended = false;
    return forEachOperand(
      io,
      'find',
      operands,
      { action: 'cannot search' },
      ({ fileSystem, path, show }, failures) => {
        if (ended) return;
        const node = resolvePath(fileSystem, path, { follow: path.endsWith('/') });
        const name = splitPath(path).at(-1) ?? '/';
        walkTree(fileSystem, node, path, name, {
          maxDepth: expression.maxDepth,
          contentsFirst: expression.depthFirst,
          visit(visit) {
            if (ended) return false;
            if (visit.depth < expression.minDepth) return true;
            const outcome = { prune: false, quit: false };
            failures.try(`cannot read '${show(visit.path)}'`, () => {
              matches(expression, fileSystem, visit, outcome, (text) => print(io, text), show);
            });
            ended ||= outcome.quit;
            return !outcome.prune && !ended;
          },
          failed: (each, error) => failures.add(`cannot read directory '${show(each)}'`, error),
        });
      },
    );
  },
});

function matches(
  expression: FindExpression,
  fileSystem: FileSystem,
  visit: Parameters<FindExpression['test']>[0]['visit'],
  outcome: { prune: boolean; quit: boolean },
  write: (text: string) => void,
  show: (path: string) => string,
): void {
  expression.test({
    fileSystem,
    visit,
    attributes: fileSystem.attributes(visit.node),
    outcome,
    write,
    shown: show(visit.path),
  });
}
