import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodeJson } from '../profile/json.ts';
import { encodeOtlp } from '../profile/otlp.ts';
import { encodePprof } from '../profile/pprof.ts';
import { readProfile } from '../profile/read-profile.ts';
import { exampleProfile, exampleTraceId } from '../viewer/example-profile.test-support.ts';
import { localHistory } from '../viewer/history.ts';
import { readPage } from '../viewer/page-file.ts';
import { startViewer, type Viewer } from '../viewer/server.ts';
import { ProfileStore } from '../viewer/store.ts';
import { writeToken } from '../viewer/token-file.ts';
import { knownToken } from './agent-token.ts';
import type { Surroundings, Terminal } from './command.ts';
import { dispatch } from './dispatch.ts';
import { TOKEN_VARIABLE } from './token-variable.ts';
import { viewCommand } from './view.ts';

const START = 1_790_000_000_000;
const folder = mkdtempSync(join(tmpdir(), 'flametap-view-'));
const profile = exampleProfile({ samples: 2_000, traces: 6, startMs: START });
const files = {
  pprof: join(folder, 'a.pb.gz'),
  otlp: join(folder, 'a.otlp'),
  json: join(folder, 'a.json'),
};
writeFileSync(files.pprof, encodePprof(profile));
writeFileSync(files.otlp, encodeOtlp(profile));
writeFileSync(files.json, [...encodeJson(profile)].join(''));

const store = new ProfileStore({ maxBytes: 1e9, retentionMs: 1e15 });
store.add(profile);
const { traceId, samples, cpuNs } = store.slowestTraces({}, 1).traces[0]!;
const span = store.request({ traceId }).spans[0]!;

let viewer: Viewer;
before(async () => {
  viewer = await startViewer({ listen: '127.0.0.1:0', history: localHistory(store, readPage) });
});
after(async () => {
  await viewer.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(args: readonly string[], isTTY = false, onSaid = (_said: string) => {}) {
  const written = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const terminal = (name: 'stdout' | 'stderr'): Terminal => ({
    isTTY,
    write: async (data) => {
      written[name].push(Buffer.from(data));
      if (name === 'stderr') onSaid(String(data));
    },
  });
  let stop = () => {};
  const surroundings: Surroundings = {
    stdout: terminal('stdout'),
    stderr: terminal('stderr'),
    startProfiler: () => Promise.reject(new Error('view samples nothing')),
    onUncaught: () => () => undefined,
    onStopSignal: (listener) => {
      stop = () => listener('SIGINT');
      return () => {};
    },
  };
  const ended = dispatch([viewCommand], ['view', ...args], folder, surroundings);
  const answer = async () => ({
    code: await ended,
    bytes: Buffer.concat(written.stdout),
    stdout: Buffer.concat(written.stdout).toString(),
    stderr: Buffer.concat(written.stderr).toString(),
  });
  return { answer, stop: () => stop() };
}

const view = async (...args: string[]) => (await run(args)).answer();
const fromAgent = (...args: string[]) => view('--agent', viewer.url, ...args);

test('a trace of the agent: its CPU time, spans, services and functions', async () => {
  const { code, stdout, stderr } = await fromAgent('--trace-id', traceId);
  assert.deepEqual([code, stderr], [0, '']);
  const seconds = (cpuNs / 1e9).toFixed(2);
  assert.ok(
    stdout.startsWith(
      `Trace ${traceId}: ${seconds} s of CPU time in ${samples} samples, 2026-09-21 14:13:20 – 14:13:50Z, on web-1\n`,
    ),
    stdout.split('\n')[0],
  );
  assert.match(stdout, /\nSpans\n +CPU +samples +span +service +seen\n/);
  assert.ok(stdout.includes(span.spanId));
  assert.match(stdout, /\nServices\n/);
  assert.match(stdout, /\nHottest functions\n +self +total +function +where\n/);
  assert.ok(stdout.endsWith(`\nFlame graph: ${viewer.url}?trace_id=${traceId}\n`));
});

test('--address prints the page with the token that this user may know, and asks nobody', async () => {
  process.env[TOKEN_VARIABLE] = 'a-token-of-sixteen';
  const { code, stdout } = await view(
    '--agent',
    'http://192.0.2.1:80',
    '--trace-id',
    traceId,
    '--address',
  );
  delete process.env[TOKEN_VARIABLE];
  assert.equal(code, 0);
  assert.equal(stdout, `http://192.0.2.1/?trace_id=${traceId}&token=a-token-of-sixteen\n`);
  const unknown = await view('--agent', 'http://192.0.2.1:80', '--address');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /lets in only root and the user it runs as/);
  assert.equal((await view('--address', files.json)).code, 2);
});

test('a token is looked for only where its agent can have put it', () => {
  const runtimeFolder = mkdtempSync(join(folder, 'runtime-'));
  writeToken(join(runtimeFolder, 'flametap', '4711.token'), 'secret-of-this-user');
  const who = { uid: 1000, runtimeFolder };
  const known = (url: string) => knownToken(new URL(url), '', who);
  assert.equal(known('http://127.0.0.1:4711'), 'secret-of-this-user');
  assert.equal(known('http://localhost:4711/x'), 'secret-of-this-user');
  assert.equal(known('http://127.0.0.1:4712'), undefined, 'another agent');
  assert.equal(known('http://192.0.2.1:4711'), undefined, 'another machine is not told');
  assert.equal(known('http://localhost.evil.example:4711'), undefined);
});

test('without a trace: the slowest ones, so that somebody without an id finds one', async () => {
  const { code, stdout } = await fromAgent('--traces', '3');
  assert.equal(code, 0);
  assert.match(stdout, /^All samples: .* s of CPU time in 2,0\d\d samples/);
  const [, first] = /\nTraces with most CPU time\n.*\n(.*)\n/.exec(stdout)!;
  assert.ok(first!.includes(traceId), first);
  assert.match(stdout, /\n {2}… 3 more\n/);
});

test('a file says what the agent says, whatever its form', async () => {
  const functions = (text: string) => {
    const [, rows = ''] = /Hottest functions\n(.*?)\n(\n|$)/s.exec(text) ?? [];
    return rows.split('\n').map((line) => line.slice(0, 60));
  };
  const agent = await fromAgent('--trace-id', traceId);
  for (const file of Object.values(files)) {
    const { code, stdout, stderr } = await view('--trace-id', traceId, '--format', 'text', file);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.split(',')[0], agent.stdout.split(',')[0], file);
    assert.deepEqual(functions(stdout), functions(agent.stdout), file);
  }
});

test('a span, a service and a time narrow it down', async () => {
  const folded = async (...args: string[]) => {
    const { code, stdout } = await fromAgent('--format', 'folded', ...args);
    assert.equal(code, 0);
    return stdout
      .trim()
      .split('\n')
      .reduce((sum, line) => sum + Number(/\d+$/.exec(line)![0]), 0);
  };
  assert.equal(await folded('--trace-id', traceId), samples);
  assert.equal(await folded('--span-id', span.spanId.toUpperCase()), span.samples);
  assert.equal(await folded('--trace-id', `00-${traceId}-${span.spanId}-01`), span.samples);
  const service = { traceId, services: [span.service] };
  assert.equal(
    await folded('--trace-id', traceId, '--service', span.service),
    store.request(service).samples,
  );
  assert.equal(
    await folded(
      '--trace-id',
      traceId,
      '--from',
      '2026-09-21T14:13:00Z',
      '--until',
      '2026-09-21T14:14:00Z',
    ),
    samples,
  );
});

test('every format goes to a file or to standard output', async () => {
  for (const format of ['pprof', 'otlp', 'json'] as const) {
    const { code, bytes } = await fromAgent('--trace-id', traceId, '--format', format);
    assert.equal(code, 0);
    const count = readProfile(bytes).samples.count.reduce((sum, one) => sum + one, 0);
    assert.equal(count, samples, format);
  }
  const output = join(folder, 'slow.html');
  const written = await view(
    '--trace-id',
    traceId,
    '--format',
    'flamegraph',
    '--output',
    output,
    files.pprof,
  );
  assert.equal(written.code, 0, written.stderr);
  assert.match(written.stderr, /written to .*slow\.html \(flamegraph, /);
  assert.match(readFileSync(output, 'utf8'), /<!doctype html>/);
});

test('an id without samples fails with what is kept; one that is none is wrong usage', async () => {
  const unknown = exampleTraceId(99);
  for (const args of [
    ['--agent', viewer.url],
    ['--format', 'text', files.otlp],
  ]) {
    const { code, stderr } = await view('--trace-id', unknown, ...args);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /no sample of trace 4bf90063.*: kept are profiles from 2026-09-21T14:13:20Z/,
    );
  }
  const cases: [string[], RegExp][] = [
    [['--trace-id', 'abc'], /--trace-id: 'abc' is no trace id: 32 hex digits/],
    [['--span-id', traceId], /--span-id: .* is no span id: 16 hex digits/],
    [['--from', 'noon'], /--from: 'noon' is not a time/],
    [['--last', '5m', '--from', '2026-09-21'], /--last does not go with --from/],
    [['--agent', 'x:1', files.json], /--agent asks an agent, FILE reads files/],
    [['--listen', '127.0.0.1:0'], /--listen serves FILE/],
    [['--format', 'svg'], /--format: 'svg' is not one of text, folded/],
    [['--', 'ls'], /view runs no command/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await view(...args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, message);
  }
});

test('binary data does not go to a terminal', async () => {
  const { answer } = await run(['--format', 'pprof', files.pprof], true);
  const { code, bytes, stderr } = await answer();
  assert.deepEqual([code, bytes.length], [2, 0]);
  assert.match(stderr, /pprof is binary and standard output is a terminal/);
});

test('no agent, a foreign server and files that are none fail and say what to do', async () => {
  const port = new URL(viewer.url).port;
  writeFileSync(join(folder, 'text'), 'hello');
  const cases: [string[], RegExp][] = [
    [
      ['--agent', 'http://127.0.0.1:1'],
      /no agent answers at http:\/\/127\.0\.0\.1:1 .*--agent, or name a FILE/,
    ],
    [
      ['--agent', `http://127.0.0.1:${port}/`, '--last', '24h', '--service', 'x'.repeat(300)],
      /at most 64 of service/,
    ],
    [['/nonexistent'], /cannot read \/nonexistent: no such file/],
    [[folder], /is no file|it is a directory/],
    [['http://127.0.0.1:7099/'], /is an address, .* write `flametap view --agent http/],
    [[join(folder, 'text')], /text cannot be read as a profile: neither pprof nor OTLP/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await view(...args);
    assert.match(stderr, message);
    assert.equal(code, 1, args.join(' '));
  }
});

test('files are served as the page until Ctrl-C, at the trace that was asked for', async () => {
  let opened = (_url: string) => {};
  const url = new Promise<string>((resolve) => {
    opened = resolve;
  });
  const { answer, stop } = await run(
    ['--trace-id', traceId, files.pprof, files.otlp],
    false,
    (said) => {
      const address = /open (\S+)/.exec(said)?.[1];
      if (address !== undefined) opened(address);
    },
  );
  const page = new URL(await url);
  assert.equal(page.searchParams.get('trace_id'), traceId);
  const authorization = `Bearer ${page.searchParams.get('token')}`;
  const get = async (path: string) =>
    JSON.parse(await (await fetch(new URL(path, page), { headers: { authorization } })).text());
  const others = await fetch(new URL('/api/status', page));
  assert.equal(
    others.status,
    401,
    'other users of the machine may not be allowed to read the files',
  );
  const status = await get('/api/status');
  assert.deepEqual([status.saved, status.profiles], [true, 2]);
  const trace = await get(`/api/traces/${traceId}`);
  assert.equal(trace.samples, 2 * samples);
  stop();
  assert.equal((await answer()).code, 0);
});
