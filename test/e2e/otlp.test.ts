/** OpenTelemetry profiles of real programs, read by OpenTelemetry's own Go modules. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { htlHash } from '../../src/elf/htlhash.ts';
import { MemorySource } from '../../src/elf/source.ts';
import { violations } from '../../src/profile/otlp-validator.test-support.ts';
import type { JsonFrame, JsonSample } from '../harness/chains.ts';
import { buildProgram } from '../harness/programs.ts';
import { CLI, execute, type JsonTally } from '../harness/record.ts';

interface Frame extends JsonFrame {
  readonly buildIds: Readonly<Record<string, string>>;
}

interface Summary {
  readonly profiles: readonly {
    readonly resource: Readonly<Record<string, string | number>>;
    readonly sampleType: string;
    readonly periodType: string;
    readonly period: number;
    readonly attributes: Readonly<Record<string, number>>;
    readonly samples: readonly {
      readonly stack: readonly Frame[];
      readonly values: readonly [number];
      readonly timestamps: number;
      readonly attributes: Readonly<Record<string, string>>;
    }[];
  }[];
}

const folder = mkdtempSync(join(tmpdir(), 'otlp-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const reader = join(folder, 'otlp-check');
execFileSync('go', ['build', '-o', reader, '.'], {
  cwd: join(import.meta.dirname, '..', 'peers', 'otlp-check'),
});

async function flametap(...args: string[]): Promise<string> {
  const output = join(folder, 'profile');
  const finished = await execute([CLI, 'record', '--output', output, ...args]);
  assert.equal(finished.code, 0, finished.stderr);
  return output;
}

/** Checked by the rules first: what is wrong could be read as something else. */
function read(path: string): Summary {
  assert.deepEqual(violations(readFileSync(path)), []);
  const printed = execFileSync(reader, ['read', path], { encoding: 'utf8', maxBuffer: 2 ** 28 });
  return JSON.parse(printed);
}

/** Count by process, thread and stack; frames as JSON has them. */
function countsOf(samples: Iterable<Omit<JsonSample, 'process'>>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { pid, thread, stack, count } of samples) {
    const frames = stack.map(({ name, file, line, module, type, inlined }) => [
      // Trampolines of BPF programs are named by whoever is loaded at the time.
      name.replace(/^bpf[_:].*/, 'bpf'),
      file,
      line,
      module,
      type,
      inlined,
    ]);
    const key = JSON.stringify([pid, thread, frames]);
    counts.set(key, (counts.get(key) ?? 0) + count);
  }
  return counts;
}

function* samplesOf({ profiles }: Summary): Generator<Omit<JsonSample, 'process'>> {
  for (const { resource, samples } of profiles) {
    for (const { stack, values, attributes } of samples) {
      const thread = attributes['thread.name'] ?? '';
      yield { pid: resource['process.pid'] as number, thread, stack, count: values[0] };
    }
  }
}

// One recording in both formats: the same processes, threads, stacks and counts.
test('what the JSON format has is in the request, stack by stack', async () => {
  const records = join(folder, 'records');
  const command = ['sh', '-c', `${buildProgram('shapes')} 1; ${buildProgram('deep-go')} 1 40 2`];
  await flametap('--hz', '499', '--save-records', records, '--', ...command);
  const replay = ['--replay', records, '--threads', '--format'];
  const summary = read(await flametap(...replay, 'otlp'));
  const json = JSON.parse(readFileSync(await flametap(...replay, 'json'), 'utf8')) as {
    samples: JsonSample[];
    tally: JsonTally;
  };
  assert.ok(json.tally.exported > 300, `only ${json.tally.exported} samples`);
  assert.deepEqual(countsOf(samplesOf(summary)), countsOf(json.samples));

  const { taken, exported, frames_named } = json.tally;
  const [first, ...others] = summary.profiles;
  const tally = (name: string) => first!.attributes[`flametap.tally.${name}`];
  assert.deepEqual(
    [tally('taken'), tally('exported'), tally('frames_named')],
    [taken, exported, frames_named],
  );
  assert.ok(others.every(({ attributes }) => Object.keys(attributes).length === 0));
});

// What the receivers make of it hangs on these.
test('types, services and build ids of a live recording', async () => {
  const program = buildProgram('chain');
  const path = await flametap('--format', 'otlp', '--hz', '250', '--', program, '1');
  const { profiles } = read(path);
  for (const { sampleType, periodType, period, samples } of profiles) {
    assert.deepEqual([sampleType, periodType], ['samples/count', 'cpu/nanoseconds']);
    assert.equal(period, 4_000_000);
    assert.ok(samples.every(({ values, timestamps }) => values.length === 1 && timestamps === 0));
  }
  const chain = profiles.find(({ resource }) => resource['service.name'] === 'chain');
  assert.ok(chain, JSON.stringify(profiles.map(({ resource }) => resource)));
  assert.equal(chain.resource['process.executable.path'], program);
  const frame = chain.samples
    .flatMap(({ stack }) => stack)
    .find(({ name, module }) => name === 'main' && module === program);
  const expected = /Build ID: ([0-9a-f]+)/.exec(
    execFileSync('readelf', ['-n', program], { encoding: 'utf8' }),
  )?.[1];
  assert.equal(frame?.buildIds['process.executable.build_id.gnu'], expected);
});

// Such a file has OpenTelemetry's own id only.
test('a program without a build id', async () => {
  const program = join(folder, 'anonymous');
  const source = join(folder, 'anonymous.c');
  writeFileSync(source, 'int main(void) { for (volatile long i = 0; i < 500000000; i++) {} }');
  execFileSync('gcc', ['-Wl,--build-id=none', '-o', program, source]);
  const { profiles } = read(await flametap('--format', 'otlp', '--', program));
  const frame = profiles
    .flatMap(({ samples }) => samples.flatMap(({ stack }) => stack))
    .find(({ module }) => module === program);
  assert.deepEqual(frame?.buildIds, {
    'process.executable.build_id.htlhash': htlHash(new MemorySource(readFileSync(program))),
  });
});
