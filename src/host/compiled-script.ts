import fs from 'node:fs';
import { createRequire, wrap } from 'node:module';
import path from 'node:path';
import vm from 'node:vm';

/** Where the build keeps what V8 has compiled of a script: of use to the same version of V8 only. */
export function codeFile(script: string): string {
  return `${script.slice(0, -path.extname(script).length)}.${process.versions.v8}-${process.arch}.code`;
}

/**
 * Loads a script as `require` does, with its code as the build has compiled it: to compile what a command runs takes longer than to run it. Returns
 * what the script exports; undefined where there is no code for this version of Node.
 */
export function loadCompiled(script: string): unknown {
  const code = readIfThere(codeFile(script));
  return code === undefined ? undefined : runScript(script, compile(script, code));
}

/** The build writes ASCII only, which is read fastest as Latin-1. What is compiled keeps the name that it was compiled under, so not that of a folder of the builder's. */
export function compile(script: string, cachedData?: Buffer): vm.Script {
  const source = wrap(fs.readFileSync(script, 'latin1'));
  return new vm.Script(source, {
    filename: nameOf(script),
    ...(cachedData === undefined ? {} : { cachedData }),
  });
}

/** A copy: V8 has a part of a string refer to the whole, and keeps that, too. */
function nameOf(script: string): string {
  return Buffer.from(path.basename(script)).toString();
}

export function runScript(script: string, compiled: vm.Script): unknown {
  const module = { exports: {} };
  const run = compiled.runInThisContext() as (...names: unknown[]) => void;
  run.call(module.exports, module.exports, createRequire(script), module, script, path.dirname(script));
  return module.exports;
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return fs.readFileSync(file);
  } catch {
    // Not there, or not to be read: nothing depends on it.
    return undefined;
  }
}
