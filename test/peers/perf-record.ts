#!/usr/bin/env node
/**
 * `perf record --call-graph dwarf` behind the options of `flametap record`
 * that the end-to-end tests use. FLAMETAP_CLI=test/peers/perf-record.ts runs
 * those tests against perf: what perf passes shows that the tests can be
 * passed, what it fails is where we have to be better.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { PERF_RECORD, PERF_SCRIPT_FIELDS, parsePerfScript } from './perf.ts';

const split = process.argv.indexOf('--');
const command = split < 0 ? [] : process.argv.slice(split + 1);
const { values } = parseArgs({
  args: process.argv.slice(3, split < 0 ? undefined : split),
  options: {
    format: { type: 'string' },
    output: { type: 'string', default: '/dev/stdout' },
    hz: { type: 'string', default: '99' },
    duration: { type: 'string', default: '10s' },
    pid: { type: 'string', multiple: true },
    comm: { type: 'string' },
  },
});

const folder = mkdtempSync(join(tmpdir(), 'perf-'));
try {
  const data = join(folder, 'perf.data');
  const args = [...PERF_RECORD, '-F', values.hz, '--call-graph', 'dwarf,16384'];
  args.push('-o', data);
  const target =
    command.length > 0 ? command : ['sleep', String(Number.parseFloat(values.duration))];
  if (values.pid) args.push('-p', values.pid.join(','));
  else if (command.length === 0) args.push('-a');
  const run = spawnSync('perf', [...args, '--', ...target], { stdio: 'inherit' });
  const text = execFileSync('perf', ['script', '-i', data, ...PERF_SCRIPT_FIELDS], {
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString();
  const samples = parsePerfScript(text).filter(
    ({ process: name, pid }) => pid !== 0 && (!values.comm || name === values.comm),
  );
  const taken = samples.length;
  const tally = { taken, exported: taken, lost: {}, truncated: {}, deferred: {} };
  writeFileSync(values.output, JSON.stringify({ samples, tally }));
  process.exitCode = run.status === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
