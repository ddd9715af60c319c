import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import {
  BlockRequest,
  LOOP_CONFIG_INFO,
  LoopConfig,
  LoopFlag,
  LoopInfo,
  LoopRequest,
  PartitionArgument,
  PartitionOperation,
  PartitionRecord,
} from '../../src/host/loop-structures.ts';
import { execFileSync } from '../support/programs.ts';
import { describeWithTools, temporaryFolder } from '../support/tools.ts';

/** Every offset, size and number that is written down in src/host/loop-structures.ts, asked of the kernel's own headers. */
describeWithTools(['gcc'], 'the structures of the loop driver', () => {
  it('are laid out as the C compiler lays them out', () => {
    const expected: Record<string, number> = {};
    const lines: string[] = [];
    function number(name: string, value: number, expression = name): void {
      expected[name] = value;
      lines.push(`printf("${name} %llu\\n", (unsigned long long)(${expression}));`);
    }
    for (const struct of [LoopInfo, LoopConfig, PartitionArgument, PartitionRecord]) {
      number(`sizeof ${struct.$name}`, struct.$size, `sizeof(struct ${struct.$name})`);
      for (const [name, field] of Object.entries(struct.$fields)) {
        const member = `((struct ${struct.$name} *)0)->${name}`;
        number(`${struct.$name}.${name}`, field.offset, `(size_t)&${member}`);
        number(`sizeof ${struct.$name}.${name}`, field.length, `sizeof(${member})`);
      }
    }
    number('loop_config.info', LOOP_CONFIG_INFO, '(size_t)&((struct loop_config *)0)->info');
    for (const [name, value] of Object.entries({ ...LoopRequest, ...BlockRequest })) number(name, value);
    number('LO_FLAGS_READ_ONLY', LoopFlag.readOnly);
    number('LO_FLAGS_AUTOCLEAR', LoopFlag.autoclear);
    number('LO_FLAGS_PARTSCAN', LoopFlag.partitionScan);
    number('LO_FLAGS_DIRECT_IO', LoopFlag.directIo);
    number('BLKPG_ADD_PARTITION', PartitionOperation.add);
    number('BLKPG_DEL_PARTITION', PartitionOperation.remove);

    const folder = temporaryFolder();
    const source = path.join(folder, 'layout.c');
    fs.writeFileSync(
      source,
      '#include <stdio.h>\n#include <linux/loop.h>\n#include <linux/blkpg.h>\n#include <linux/fs.h>\n' +
        `int main(void) {\n${lines.join('\n')}\nreturn 0;\n}\n`,
    );
    execFileSync('gcc', ['-o', path.join(folder, 'layout'), source]);
    const output = execFileSync(path.join(folder, 'layout'), [], { encoding: 'utf8' });
    const found = Object.fromEntries(
      output
        .trim()
        .split('\n')
        .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
    );
    expect(found).toEqual(expected);
    expect(Object.keys(found).length).toBeGreaterThan(60);
  });
});
