import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import * as protocol from '../../src/fuse/protocol.ts';
import * as structures from '../../src/fuse/structures.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/** The compiler and the kernel's header say where every field lies. */

interface Table {
  readonly $name: string;
  readonly $size: number;
  readonly $fields: Record<string, { readonly offset: number; readonly length: number }>;
}

/** Later than the header of Debian 12, which is of 7.38: field or structure, and the minor version that brought it. */
const LATER: Record<string, number> = {
  fuse_statx_in: 39,
  fuse_statx_out: 39,
  'fuse_init_out.max_stack_depth': 40,
  'fuse_open_out.backing_id': 40,
  'fuse_init_out.request_timeout': 43,
};

/** Where a table flattens a structure within a structure. */
function memberName(structure: string, field: string): string {
  const lock = ['start', 'end', 'type', 'pid'];
  if (structure.startsWith('fuse_lk_') && lock.includes(field)) return `lk.${field}`;
  if (structure !== 'fuse_statx_out' || ['attr_valid', 'attr_valid_nsec', 'flags'].includes(field))
    return field;
  const time = /^([abcm]time)(nsec)?$/.exec(field);
  if (time !== null) return `stat.${time[1]}.${time[2] === undefined ? 'tv_sec' : 'tv_nsec'}`;
  return `stat.${field}`;
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && '$fields' in value;
}

const tables = Object.values(structures).filter(isTable) as unknown as Table[];

describeWithTools(['gcc'], 'The FUSE protocol as the kernel header declares it', () => {
  it('has every structure, field and number where the compiler puts it', () => {
    const expected: string[] = [];
    const lines: string[] = [];
    const say = (minor: number, what: string, expression: string, value: number): void => {
      lines.push(
        `#if FUSE_KERNEL_MINOR_VERSION >= ${minor}`,
        `printf("${what} %lld\\n", (long long)(${expression}));`,
        '#else',
        `printf("${what} ${value}\\n");`,
        '#endif',
      );
      expected.push(`${what} ${value}`);
    };
    for (const { $name, $size, $fields } of tables) {
      const since = LATER[$name] ?? 0;
      say(since, $name, `sizeof(struct ${$name})`, $size);
      for (const [name, { offset, length }] of Object.entries($fields)) {
        const minor = Math.max(since, LATER[`${$name}.${name}`] ?? 0);
        const member = memberName($name, name);
        say(minor, `${$name}.${name}`, `offsetof(struct ${$name}, ${member})`, offset);
        say(minor, `${$name}.${name}:`, `sizeof(((struct ${$name} *)0)->${member})`, length);
      }
    }
    say(0, 'entry attr', 'offsetof(struct fuse_entry_out, attr)', structures.ENTRY_ATTR);
    say(0, 'attr attr', 'offsetof(struct fuse_attr_out, attr)', structures.ATTR_OUT_ATTR);
    const prefixes: [string, Record<string, number>, Record<string, number>][] = [
      ['FUSE_', protocol.Opcode, { STATX: 39, COPY_FILE_RANGE_64: 45 }],
      ['FUSE_NOTIFY_', protocol.Notify, { INC_EPOCH: 44 }],
      ['FUSE_', protocol.InitFlag, {}],
      ['FOPEN_', protocol.FOPEN, {}],
      ['FATTR_', protocol.FATTR, {}],
    ];
    for (const [prefix, table, later] of prefixes) {
      for (const [name, value] of Object.entries(table))
        say(later[name] ?? 0, `${prefix}${name}`, `${prefix}${name}`, value);
    }
    for (const [name, value] of Object.entries(protocol.InitFlag2)) {
      const old = ['SECURITY_CTX', 'HAS_INODE_DAX', 'CREATE_SUPP_GROUP', 'HAS_EXPIRE_ONLY'];
      // Debian's header of 7.38 lacks what 7.38 got at last.
      say(old.indexOf(name) >= 0 && name !== 'CREATE_SUPP_GROUP' ? 0 : 43, name, `FUSE_${name} >> 32`, value);
    }
    for (const [name, value] of Object.entries({ ...protocol, ...structures })) {
      if (typeof value !== 'number' || !name.startsWith('FUSE_') || /VERSION|OLDEST/.test(name)) continue;
      say(0, name, name, value);
    }

    const folder = temporaryFolder();
    const source = path.join(folder, 'offsets.c');
    fs.writeFileSync(
      source,
      `#include <stddef.h>\n#include <stdio.h>\n#include <stdint.h>\n#include <linux/fuse.h>\nint main(void) {\n${lines.join('\n')}\nreturn 0; }\n`,
    );
    const compiled = runTool('gcc', ['-o', path.join(folder, 'offsets'), source]);
    expect(compiled.stderr).toBe('');
    const { stdout } = runTool(path.join(folder, 'offsets'), []);
    expect(stdout.trimEnd().split('\n')).toEqual(expected);
    expect(expected.length).toBeGreaterThan(300);
  });
});
