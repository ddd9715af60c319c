import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends a run with `N passed, N failed, N skipped` alone on the last line; files that did not load count as failed. Before it stand the
 * tests that passed only when they were run again (`retry` of vitest.config.ts).
 */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    // Style and type checks that failed before the tests began (scripts/test.mjs).
    let failed = unhandledErrors.length + Number(process.env['USERLOOP_FAILED_CHECKS'] ?? 0);
    let skipped = 0;
    const again: string[] = [];
    for (const module of modules) {
      if (module.state() === 'failed' && module.errors().length > 0) failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (test.diagnostic()?.flaky === true) again.push(`${module.relativeModuleId}: ${test.fullName}`);
        if (state === 'passed') passed++;
        else if (state === 'failed') failed++;
        else skipped++;
      }
    }
    const flaky = again.map((name) => `\nPassed only when run again, to be looked into: ${name}`).join('');
    // After every other reporter's output.
    process.on('exit', () =>
      process.stdout.write(`${flaky}\n${passed} passed, ${failed} failed, ${skipped} skipped\n`),
    );
  }
}
