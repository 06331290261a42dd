/**
 * Ids of requests that native programs carry in thread-local variables: OTEP 4947 and
 * custom-labels, placed in every way that compilers and loaders know.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { blackBoxFlags } from '../harness/programs.ts';
import { crate, pythonPackages } from '../harness/published.ts';
import { countOf, type JsonTally, record } from '../harness/record.ts';
import {
  CONTEXT_PROGRAMS,
  CUSTOM_LABELS,
  compileContext,
  expectCpuTimes,
  expectOwnIds,
  type IdentifiedSample,
  readRequests,
} from '../harness/requests.ts';

const HZ = 499;
const folder = mkdtempSync(join(tmpdir(), 'thread-context-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A program to run: its file is called as it is, and so is its comm. */
interface Run {
  readonly program: string;
  readonly arguments: readonly string[];
  /** Carriers that are loaded late. */
  readonly libraries?: readonly string[];
}

async function recorded(runs: readonly Run[]) {
  const commands = runs.map(({ program, arguments: args, libraries = [] }) =>
    [program, ...args, `${program}.report`, ...libraries].join(' '),
  );
  const script = join(folder, 'all.sh');
  writeFileSync(script, `${commands.join(' &\n')} &\nwait\n`);
  const { samples, tally } = await record({ hz: HZ, command: ['sh', script] });
  return {
    samples: samples as readonly IdentifiedSample[],
    lost: (tally as JsonTally & { labels_lost: Record<string, number> }).labels_lost,
  };
}

const ofProgram = (samples: readonly IdentifiedSample[], { program }: Run): IdentifiedSample[] =>
  samples.filter((sample) => sample.process === basename(program));

/** Each program's samples have their own request's ids, 99 % of them; CPU time per trace agrees. */
async function expectAll(runs: readonly Run[]): Promise<void> {
  const { samples, lost } = await recorded(runs);
  let [all, identified] = [0, 0];
  for (const run of runs) {
    const own = ofProgram(samples, run);
    const requests = readRequests(`${run.program}.report`);
    const judged = expectOwnIds(own, requests);
    const says = `${basename(run.program)}: ${judged.identified} of ${judged.samples}`;
    assert.ok(judged.samples > 60, says);
    // One program alone has few samples: two of them may be of its first moments.
    assert.ok(judged.identified >= 0.99 * judged.samples - 2, `${says}, ${JSON.stringify(lost)}`);
    expectCpuTimes(own, requests, HZ);
    all += judged.samples;
    identified += judged.identified;
  }
  assert.ok(identified >= 0.99 * all, `${identified} of ${all}, ${JSON.stringify(lost)}`);
}

const program = (
  name: string,
  sources: readonly string[],
  flags: readonly string[] = [],
  compiler?: string,
): string => compileContext(join(folder, name), sources, flags, compiler);

const carrier = (name: string, flags: readonly string[] = [], compiler?: string): string =>
  program(name, ['thread-context.c'], ['-shared', '-fPIC', ...flags], compiler);

/** The same program under another name. */
function called(name: string, path: string): string {
  const copy = join(folder, name);
  copyFileSync(path, copy);
  return copy;
}

// Static and dynamic programs, libraries linked and loaded late, with both C libraries, from Rust.
test('thread contexts, wherever the variable lies', async () => {
  const linked = ['requests.c', 'thread-context.c'];
  const loader = program('loader', ['requests.c'], ['-ldl']);
  const rust = join(folder, 'rust');
  const source = join(CONTEXT_PROGRAMS, 'requests.rs');
  execFileSync('rustc', ['-O', ...blackBoxFlags(), '-o', rust, source], {
    env: { ...process.env, RUSTC_BOOTSTRAP: '1' },
    stdio: 'pipe',
  });
  const exported = ['-DLINKED', '-Wl,--export-dynamic-symbol=otel_thread_ctx_v1'];
  const general = carrier('general.so');
  const swap = ['0.25', '2', '1000', 'swap'];
  const inPlace = ['0.25', '2', '1000', 'in-place'];
  await expectAll([
    { program: program('exported', linked, exported), arguments: swap },
    {
      program: program('fixed', linked, ['-DLINKED', '-static', '-DTLS_ALIGNED=256']),
      arguments: inPlace,
    },
    {
      program: program('linked', ['requests.c', general], ['-DLINKED', '-Wl,-rpath,$ORIGIN']),
      arguments: swap,
    },
    { program: called('loads-general', loader), arguments: inPlace, libraries: [general] },
    {
      program: called('loads-desc', loader),
      arguments: swap,
      libraries: [carrier('descriptors.so', ['-mtls-dialect=gnu2'])],
    },
    {
      program: called('loads-big-desc', loader),
      arguments: inPlace,
      libraries: [carrier('big.so', ['-mtls-dialect=gnu2', '-DTLS_PADDING=8192'])],
    },
    {
      program: called('loads-initial', loader),
      arguments: swap,
      libraries: [carrier('initial.so', ['-ftls-model=initial-exec'])],
    },
    {
      program: program('musl', linked, ['-DLINKED', '-static', '-DTLS_ALIGNED=64'], 'musl-gcc'),
      arguments: swap,
    },
    {
      program: program('musl-loader', ['requests.c'], [], 'musl-gcc'),
      arguments: inPlace,
      libraries: [carrier('musl.so', [], 'musl-gcc')],
    },
    { program: rust, arguments: ['0.25', '2', '1000'] },
  ]);
});

// As a runtime of coroutines does: one thread, another request every 20 µs.
test('one thread that changes its request all the time', async () => {
  const source = ['requests.c', 'thread-context.c'];
  const switching = program('switching', source, ['-DLINKED']);
  await expectAll([
    { program: switching, arguments: ['1.5', '1', '20', 'swap'] },
    { program: called('writing', switching), arguments: ['1.5', '1', '20', 'in-place'] },
  ]);
});

test('custom-labels: in the program, in its library, loaded late', async () => {
  const sources = join(await crate(...CUSTOM_LABELS), 'src');
  const include = [`-I${sources}`];
  const own = join(sources, 'customlabels.cpp');
  const object = program('customlabels.o', [own], ['-c', '-fPIC', '-std=c++17'], 'g++');
  const library = program(
    'libcustomlabels.so',
    [own],
    ['-shared', '-fPIC', '-std=c++17', '-mtls-dialect=gnu2'],
    'g++',
  );
  const beside = [...include, '-Wl,-rpath,$ORIGIN'];
  const inProgram = ['-DLINKED', ...include, '-lstdc++', '-Wl,--export-dynamic'];
  const labels = 'custom-labels.c';
  const inside = program('inside', ['requests.c', labels, object], inProgram);
  await expectAll([
    { program: inside, arguments: ['0.4', '3', '1000', 'swap'] },
    {
      program: program('beside', ['requests.c', labels, library], ['-DLINKED', ...beside]),
      arguments: ['0.4', '3', '1000', 'in-place'],
    },
    {
      program: program('loads-labels', ['requests.c'], ['-ldl']),
      arguments: ['0.4', '3', '1000', 'swap'],
      libraries: [program('carrier.so', [labels, library], ['-shared', '-fPIC', ...beside])],
    },
    { program: called('tasks', inside), arguments: ['0.5', '1', '20', 'in-place'] },
  ]);
});

// A tracer of another language that publishes by itself: Datadog's for Python.
test('a traced Python program', async () => {
  const packages = await pythonPackages(join(CONTEXT_PROGRAMS, 'requirements.txt'));
  const burns = program('burns.so', ['requests.c'], ['-shared', '-fPIC']);
  const report = join(folder, 'python.report');
  const { samples } = await record({
    hz: HZ,
    command: ['python3', join(CONTEXT_PROGRAMS, 'serve.py'), '1', '3', report, burns],
    environment: {
      PYTHONPATH: packages,
      DD_TRACE_STARTUP_LOGS: 'false',
      DD_INSTRUMENTATION_TELEMETRY_ENABLED: 'false',
      DD_REMOTE_CONFIGURATION_ENABLED: 'false',
    },
  });
  const requests = readRequests(report);
  assert.equal(new Set(requests.map(({ span_id }) => span_id)).size, requests.length);
  const own = samples as readonly IdentifiedSample[];
  const judged = expectOwnIds(own, requests);
  assert.ok(judged.samples > 500, `only ${judged.samples} samples in requests`);
  assert.ok(judged.identified >= 0.99 * judged.samples, JSON.stringify(judged));
  // An attribute of the record, which its process context has the name of.
  const traceOf = new Map(requests.map(({ span_id, trace_id }) => [span_id, trace_id]));
  const identified = own.filter(({ trace_id }) => trace_id !== null);
  const rooted = identified.filter(({ trace_id, labels }) => {
    const root = labels['datadog.local_root_span_id'];
    return root !== undefined && traceOf.get(root) === trace_id;
  });
  assert.ok(countOf(rooted) >= 0.99 * judged.identified, `${countOf(rooted)} have their root`);
});

// Pointers to nowhere, lengths of 2^60, records without end; another program runs beside it.
test('nonsense has a reason each time, and is nobody else’s', async () => {
  const hostile: Run = { program: program('hostile', ['hostile.c']), arguments: ['0.06'] };
  const honest: Run = {
    program: program('honest', ['requests.c', 'thread-context.c'], ['-DLINKED']),
    arguments: ['1', '2', '1000', 'swap'],
  };
  const { samples, lost } = await recorded([hostile, honest]);
  const ids = readRequests(`${honest.program}.report`);
  const judged = expectOwnIds(ofProgram(samples, honest), ids);
  assert.ok(judged.samples > 500 && judged.identified >= 0.99 * judged.samples);

  const inFunction = (name: string): IdentifiedSample[] =>
    ofProgram(samples, hostile).filter(({ stack }) => stack.some((frame) => frame.name === name));
  for (const outcome of ['unreadable', 'malformed', 'too_long'] as const) {
    const given = countOf(inFunction(outcome));
    const counted = lost[`context_${outcome}`] ?? 0;
    assert.ok(given > 20, `${given} samples, ${outcome}`);
    // One tick may fall between the function and what is published.
    assert.ok(Math.abs(counted - given) <= 3, `${counted} counted, ${given} samples, ${outcome}`);
  }
  assert.ok(countOf(inFunction('none')) > 20);
  for (const name of ['none', 'unreadable', 'malformed']) {
    for (const { trace_id, span_id, labels } of inFunction(name)) {
      assert.deepEqual([trace_id, span_id, labels], [null, null, {}], name);
    }
  }
  // A record whose attributes are too many still has its ids.
  const good = ['0102030405060708090a0b0c0d0e0f10', 'ee'.repeat(16), null];
  for (const name of ['too_long', 'changing']) {
    const seen = inFunction(name).map(({ trace_id }) => trace_id);
    assert.ok(seen.includes(good[0]!), `${name}: ${seen}`);
    for (const trace of seen) assert.ok(good.includes(trace), `${trace}`);
  }
});
