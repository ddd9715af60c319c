import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';
import { until } from '../support/until.ts';

let mounted: MountedImage | undefined;

afterEach(async () => {
  await mounted?.close();
  mounted = undefined;
});

function protection(image: string): {
  readonly sequence: string;
  readonly node: string;
  readonly device: string;
} {
  const text = runTool('debugfs', ['-R', 'dump_mmp', image]).stdout;
  const field = (name: string): string => new RegExp(`${name}: (.*)`).exec(text)?.[1] ?? '';
  return { sequence: field('sequence'), node: field('node_name'), device: field('device_name') };
}

describeWithMounts(['mke2fs', 'debugfs', 'e2fsck'], 'A mount with multiple-mount protection', () => {
  it('names itself, counts on while it is idle, and lets the volume go in the end', async () => {
    const image = path.join(temporaryFolder(), 'disk.img');
    const options = ['-q', '-F', '-t', 'ext4', '-O', 'mmp', '-E', 'mmp_update_interval=1', image, '16M'];
    expect(runTool('mke2fs', options).status).toBe(0);
    mounted = new MountedImage(image);
    await mounted.mount();
    const first = protection(image);
    expect(first.sequence).not.toMatch(/ff4d4d50|e24d4d50/);
    expect(first.node.length).toBeGreaterThan(0);
    await until(() => protection(image).sequence !== first.sequence);
    fs.writeFileSync(path.join(mounted.directory, 'file'), 'x');
    const second = protection(image);
    await until(() => protection(image).sequence !== second.sequence);
    await mounted.close();
    mounted = undefined;
    expect(protection(image).sequence).toBe('ff4d4d50');
    expect(runTool('e2fsck', ['-fn', image]).status).toBe(0);
  });
});
