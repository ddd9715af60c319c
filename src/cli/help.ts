import type { Applet } from './applet.ts';
import type { OptionSpec } from './getopt.ts';

/** `-o, --offset OFFSET`, `--mbr[=y|n|a]`. */
export function optionHeading(spec: OptionSpec): string {
  const name = spec.argumentName ?? 'VALUE';
  const forms: string[] = [];
  if (spec.short !== undefined) {
    const glued = spec.argument === 'optional' && spec.long === undefined ? `[${name}]` : '';
    forms.push(`-${spec.short}${glued}`);
  }
  if (spec.long !== undefined) {
    forms.push(`--${spec.long}${spec.argument === 'optional' ? `[=${name}]` : ''}`);
  }
  return forms.join(', ') + (spec.argument === 'required' ? ` ${name}` : '');
}

export function renderHelp(applet: Applet): string {
  const lines = applet.usage.map((usage, index) => `${index === 0 ? 'Usage: ' : '       '}${usage}`);
  lines.push('', capitalise(applet.summary) + '.');
  for (const paragraph of applet.description) lines.push('', ...wrap(paragraph, 78));
  if (applet.options.length > 0) {
    lines.push('', 'Options:');
    for (const spec of applet.options) {
      const heading = `  ${spec.short === undefined && spec.long !== undefined ? '    ' : ''}${optionHeading(spec)}`;
      const text = wrap(spec.description, 50);
      if (heading.length > 27) lines.push(heading, ...text.map((line) => ' '.repeat(28) + line));
      else lines.push(...text.map((line, i) => (i === 0 ? heading.padEnd(28) : ' '.repeat(28)) + line));
    }
  }
  lines.push('', 'Examples:');
  for (const { command, explanation } of applet.examples) {
    lines.push(`  ${command}`, ...wrap(explanation, 72).map((line) => `      ${line}`));
  }
  const statuses = Object.entries(applet.exitStatus ?? {});
  if (statuses.length > 0) {
    lines.push('', 'Exit status:');
    for (const [status, meaning] of statuses) lines.push(`  ${status.padEnd(4)}${meaning}`);
  }
  if (applet.notSupported !== undefined && applet.notSupported.length > 0) {
    lines.push('', 'Not supported (refused with an error):');
    for (const item of applet.notSupported)
      lines.push(...wrap(item, 74).map((line, i) => (i === 0 ? '  ' : '    ') + line));
  }
  return lines.join('\n') + '\n';
}

export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines;
}

function capitalise(text: string): string {
  return text === '' ? text : text[0]!.toUpperCase() + text.slice(1);
}
