// What the tour prints: commands as a person types them, what they said, and a verdict a line.
import { styleText } from 'node:util';

const coloured = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;

function style(format, text) {
  return coloured ? styleText(format, text) : text;
}

let failures = 0;

export function heading(text) {
  console.log(`\n${style('bold', text)}`);
}

export function prose(text) {
  console.log(text);
}

/** `classic` is the line of the article, `ours` what ran instead, where the two differ. */
export function command(classic, ours) {
  console.log(`${style('dim', '$')} ${style('cyan', classic)}`);
  if (ours !== undefined && ours !== classic) console.log(style('dim', `  = ${ours}`));
}

export function output(text, maxLines = 12) {
  const lines = text.trimEnd().split('\n').map(asShown);
  if (lines.length === 1 && lines[0] === '') return;
  for (const line of lines.slice(0, maxLines)) console.log(style('dim', `  ${line}`));
  if (lines.length > maxLines) console.log(style('dim', `  … ${lines.length - maxLines} more lines`));
}

export function passed(text) {
  console.log(`${style('green', '✓')} ${text}`);
}

export function skipped(text) {
  console.log(`${style('yellow', '-')} skipped: ${text}`);
}

export function failed(text) {
  failures++;
  console.log(`${style('red', '✗')} ${text}`);
}

export function failureCount() {
  return failures;
}

/** A line as a terminal shows it: a backspace moves back, what follows overwrites. */
function asShown(line) {
  const cells = [];
  let column = 0;
  for (const character of line) {
    if (character === '\b') column = Math.max(0, column - 1);
    else cells[column++] = character;
  }
  return cells.join('').trimEnd();
}
