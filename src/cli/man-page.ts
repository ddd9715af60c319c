import type { Applet } from './applet.ts';
import { optionHeading } from './help.ts';
import { type RegistryEntry, REGISTRY } from './registry.ts';
import { VERSION } from './version.ts';

/** Manual pages in the man(7) macros, from the same data that `--help` prints. docs/man/ holds the result (scripts/man.mjs). */

/** `userloop-mkfs.fat`: the prefix keeps the pages from hiding those of the classic tools. */
export function manPageName(applet: Applet): string {
  return `userloop-${applet.name}`;
}

export function renderManPage(applet: Applet): string {
  const names = [applet.name, ...(applet.aliases ?? [])];
  const name = applet.kind === 'verb' ? names.map((one) => `userloop ${one}`) : names;
  const lines = [
    title(manPageName(applet)),
    '.SH NAME',
    `${escape(name.join(', '))} \\- ${escape(applet.summary)}`,
    '.SH SYNOPSIS',
    ...applet.usage.flatMap((usage, index) => [...(index === 0 ? [] : ['.br']), `.B ${escape(usage)}`]),
    '.SH DESCRIPTION',
    ...applet.description.flatMap((paragraph, index) => [...(index === 0 ? [] : ['.PP']), escape(paragraph)]),
  ];
  if (applet.kind === 'applet') {
    const link = `Runs as \\fBuserloop ${escape(applet.name)}\\fR, or through a link of this name to the program.`;
    lines.push('.PP', link);
  }
  if (applet.options.length > 0) lines.push('.SH OPTIONS');
  for (const spec of applet.options) {
    lines.push('.TP', `.B ${escape(optionHeading(spec))}`, escape(spec.description));
  }
  if (applet.examples.length > 0) lines.push('.SH EXAMPLES');
  for (const { command, explanation } of applet.examples) {
    lines.push('.TP', `.B ${escape(command)}`, escape(explanation));
  }
  const statuses = Object.entries(applet.exitStatus ?? {});
  if (statuses.length > 0) lines.push('.SH "EXIT STATUS"');
  for (const [status, meaning] of statuses) lines.push('.TP', `.B ${status}`, escape(meaning));
  const missing = applet.notSupported ?? [];
  if (missing.length > 0) lines.push('.SH "NOT SUPPORTED"', 'What follows is refused with an error:');
  for (const item of missing) lines.push('.IP \\(bu 2', escape(item));
  lines.push('.SH "SEE ALSO"', '.BR userloop (1)');
  return `${lines.join('\n')}\n`;
}

/** The page of the program itself: how images are named, and every command. */
export function renderOverviewPage(entries: readonly RegistryEntry[] = REGISTRY): string {
  const lines = [
    title('userloop'),
    '.SH NAME',
    'userloop \\- disk images without root: partition, format, fill, make bootable, boot',
    '.SH SYNOPSIS',
    '.B userloop COMMAND [ARGUMENT]...',
    '.SH DESCRIPTION',
    'Works on disk images as plain files: no root, no mount, no kernel driver.',
    'Every classic tool below also runs through a link of its name to the program;',
    '\\fBuserloop applets \\-\\-install DIR\\fR makes them all.',
    '.SH "NAMES OF IMAGES"',
    ...tagged('IMAGE', 'the only file system of the image'),
    ...tagged('IMAGE:N', 'partition N'),
    ...tagged('IMAGE@OFFSET', 'what starts at that byte'),
    ...tagged('IMAGE:/path, IMAGE:N:/path, IMAGE@OFFSET:/path', 'a file in it'),
  ];
  for (const kind of ['verb', 'applet'] as const) {
    lines.push(kind === 'verb' ? '.SH COMMANDS' : '.SH "CLASSIC TOOLS"');
    for (const { names, summary } of entries.filter((entry) => entry.kind === kind)) {
      lines.push(...tagged(names.join(', '), summary));
    }
  }
  lines.push(
    '.SH ENVIRONMENT',
    ...tagged(
      'SOURCE_DATE_EPOCH',
      'seconds since 1970 that stand for now, for images that must come out the same twice',
    ),
    '.SH "SEE ALSO"',
    entries.map(({ names }) => `.BR userloop-${escape(names[0]!)} (1)`).join(',\n'),
  );
  return `${lines.join('\n')}\n`;
}

function title(name: string): string {
  return `.TH ${escape(name).toUpperCase()} 1 "" "userloop ${VERSION}" "userloop"`;
}

function tagged(tag: string, text: string): string[] {
  return ['.TP', `.B ${escape(tag)}`, escape(text)];
}

/** Text as roff takes it: no escapes, no requests, and hyphens that can be copied into a shell. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replace(/^\./, '\\&.')
    .replaceAll('\u2026', '...')
    .replaceAll(/[^\x20-\x7e]/gu, (character) => `\\[u${hex(character)}]`);
}

/** groff's name of a character: at least four digits, upper case. */
function hex(character: string): string {
  return character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
}
