// Writes docs/man/ from the commands' own data. test/unit/man.test.ts fails when it is out of date: run `npm run man`.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { root } from './prepare.mjs';

const bundle = `${root}node_modules/.cache/man.mjs`;
await build({
  stdin: {
    contents: 'export * from "./src/cli/man-page.ts"; export * from "./src/cli/registry.ts";',
    resolveDir: root,
  },
  outfile: bundle,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  logLevel: 'warning',
});
const { REGISTRY, manPageName, renderManPage, renderOverviewPage } = await import(bundle);

const folder = `${root}docs/man/`;
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (name.endsWith('.1')) rmSync(folder + name);
writeFileSync(`${folder}userloop.1`, renderOverviewPage());
for (const entry of REGISTRY) {
  const applet = await entry.load();
  writeFileSync(`${folder}${manPageName(applet)}.1`, renderManPage(applet));
}
rmSync(bundle);

// npm makes the pages known to man(1) by this list, and takes no folder for it.
const manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
manifest.man = readdirSync(folder)
  .sort()
  .map((name) => `./docs/man/${name}`);
writeFileSync(`${root}package.json`, `${JSON.stringify(manifest, undefined, 2)}\n`);
