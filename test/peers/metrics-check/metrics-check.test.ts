/** Prometheus's parser and linter on our metrics. Needs `go` and, once, the module proxy. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildProfile, plainSample } from '../../../src/profile/fixture.test-support.ts';
import { AgentMetrics } from '../../../src/telemetry/agent-metrics.ts';
import { parseExposition } from '../../../src/telemetry/strict-exposition.test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'metrics-check-'));
const checker = join(folder, 'metrics-check');

before(() => {
  execFileSync('go', ['build', '-o', checker, '.'], { cwd: import.meta.dirname });
});
after(() => rmSync(folder, { recursive: true, force: true }));

const check = (input: string): { families: Record<string, number>; problems: unknown[] } =>
  JSON.parse(execFileSync(checker, { input, encoding: 'utf8' }));

function everything(): string {
  const metrics = new AgentMetrics({ version: '0.1.0', runtime: 'v24.0.0' });
  metrics.add(buildProfile([{ ...plainSample, kernel: [7], user: [3, 5, 8], end: 5 }]));
  const exporter = {
    queueSize: 1,
    queueBytes: 2,
    queueCapacity: 3,
    sent: 4,
    sendFailed: 5,
    dropped: { queue_full: 6, refused: 7 },
    rejected: 0,
    requestBytes: 8,
    breaker: 'open',
    inFlight: 1,
    fault: undefined,
  } as const;
  return metrics.render({
    processes: 3,
    tableBytes: 4096,
    userCpuSeconds: 0.1 + 0.2,
    kernelCpuSeconds: 1e-7,
    rssBytes: 2 ** 40,
    mapBytes: 1,
    hz: 99,
    resolverRestarts: 1,
    retried: { drain: 2 },
    history: { restarts: 1, profiles: { behind: 2 } },
    page: { restarts: 1, drops: { flood: 2 } },
    exporters: [
      { exporter: 'otlp', ...exporter },
      { exporter: 'a "b" \\ c\nd é', ...exporter },
    ],
  });
}

test('Prometheus reads all families and finds nothing to complain of', () => {
  const text = everything();
  const { families, problems } = check(text);
  const ours = [...parseExposition(text)].map(([name, { samples }]) => [name, samples.size]);
  assert.deepEqual(families, Object.fromEntries(ours));
  assert.deepEqual(problems, []);
});

test('the linter would have complained', () => {
  const bad = everything().replaceAll('flametap_exporter_sent_total', 'flametap_exporter_sent');
  assert.deepEqual(check(bad).problems, [
    { Metric: 'flametap_exporter_sent', Text: 'counter metrics should have "_total" suffix' },
  ]);
});
