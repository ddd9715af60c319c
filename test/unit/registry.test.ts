import { describe, expect, test } from 'vitest';
import { findCommand, REGISTRY } from '../../src/cli/registry.ts';
import { userloop } from '../support/run.ts';

const names = REGISTRY.flatMap((entry) => entry.names);

test('Every command name is registered once', () => {
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  for (const name of names) expect(findCommand(name)?.names).toContain(name);
  expect(findCommand('no-such-command')).toBeUndefined();
});

describe.each(REGISTRY)('The command $names', (entry) => {
  test('has in its module the names and the kind that it is registered under, and says what it does', async () => {
    const applet = await entry.load();
    expect([applet.name, ...(applet.aliases ?? [])].sort()).toEqual([...entry.names].sort());
    expect(applet.kind).toBe(entry.kind);
    expect(applet.summary).not.toBe('');
    expect(applet.summary).not.toMatch(/\.$/);
    expect(applet.usage.length).toBeGreaterThan(0);
    expect(applet.description.length).toBeGreaterThan(0);
    expect(applet.examples.length).toBeGreaterThan(0);
  });

  test.each(entry.names)('answers %s --help with status 0', async (name) => {
    const { status, stdout, stderr } = await userloop([name, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: /);
    expect(stdout).toContain('Examples:');
  });
});
