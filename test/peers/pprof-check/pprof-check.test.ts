/** Go's own tools read our pprof files. Needs `go` and, once, the module proxy. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { FileSource } from '../../../src/elf/file-source.ts';
import { ElfImage } from '../../../src/elf/image.ts';
import { decodePush } from '../../../src/export/push-message.ts';
import { encodeRequests, PUSH_LIMITS, splitPush } from '../../../src/export/pyroscope.ts';
import {
  fuzz,
  hostileText,
  rawSamples,
} from '../../../src/profile/arbitrary-samples.test-support.ts';
import {
  buildProfile,
  fixtureFacts,
  plainSample,
  sourceLine,
} from '../../../src/profile/fixture.test-support.ts';
import type { Profile } from '../../../src/profile/model.ts';
import { encodePprof } from '../../../src/profile/pprof.ts';
import { tallyLines } from '../../../src/profile/tally.ts';

interface Summary {
  readonly sampleTypes: string[];
  readonly defaultSampleType: string;
  readonly periodType: string;
  readonly period: number;
  readonly totals: number[];
  readonly comments: string[] | null;
  readonly labels: Record<string, string[]>;
  readonly numLabels: Record<string, number[]>;
  readonly stacks: Record<string, number>;
  readonly unsymbolized: number;
}

let directory = '';
let checker = '';

before(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'pprof-check-'));
  checker = path.join(directory, 'pprof-check');
  execFileSync('go', ['build', '-o', checker, '.'], { cwd: import.meta.dirname });
});

after(() => rmSync(directory, { recursive: true, force: true }));

function written(profile: Profile): string {
  const file = path.join(directory, 'profile.pb.gz');
  writeFileSync(file, encodePprof(profile));
  return file;
}

const summaryOf = (profile: Profile): Summary => summaryOfFile(written(profile));

const summaryOfFile = (file: string): Summary =>
  JSON.parse(execFileSync(checker, [file], { encoding: 'utf8' }));

function goTool(profile: Profile, ...options: string[]): string {
  return execFileSync('go', ['tool', 'pprof', ...options, written(profile)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, PPROF_TMPDIR: directory },
  });
}

const samples = [
  { ...plainSample, kernel: [7], user: [3, 5, 8], end: 5, labels: 1, weight: 2 },
  { ...plainSample, user: [8], pid: 43, comm: 'other' },
];

test('CheckValid accepts it, and totals, labels, comments and stacks are ours', () => {
  const profile = buildProfile(samples, { threads: true });
  const summary = summaryOf(profile);
  assert.deepEqual(summary.sampleTypes, ['samples/count', 'cpu/nanoseconds']);
  assert.equal(summary.defaultSampleType, 'cpu');
  assert.equal(summary.periodType, 'cpu/nanoseconds');
  assert.deepEqual(summary.totals, [3, 3 * fixtureFacts.period]);
  assert.deepEqual(summary.comments, [...tallyLines(profile.tally)]);
  assert.deepEqual(summary.labels, {
    process: ['app', 'other'],
    thread: ['worker', 'worker'],
    trace_id: ['0123456789abcdef0123456789abcdef'],
    span_id: ['0123456789abcdef'],
  });
  assert.deepEqual(summary.numLabels, { pid: [42, 43] });
  assert.deepEqual(summary.stacks, {
    '["f7","inlined3","f3","app-42+0x5","f8","[stack cut: no unwind information]"]': 2,
    '["f8"]': 1,
  });
  assert.equal(summary.unsymbolized, 0);
});

test('any samples and names are valid, and no sample is missing', () => {
  fc.assert(
    fc.property(rawSamples, hostileText, (raw, name) => {
      const profile = buildProfile(raw, { threads: true }, (low) =>
        low % 4 === 0 ? [] : [sourceLine(name + low, low, name)],
      );
      const summary = summaryOf(profile);
      assert.equal(summary.totals[0], profile.tally.exported);
      assert.equal(summary.totals[1], profile.tally.exported * fixtureFacts.period);
    }),
    { seed: fuzz.seed, numRuns: 40 },
  );
});

test('go tool pprof -top ranks by CPU time', () => {
  const top = goTool(buildProfile(samples), '-top');
  assert.match(top, /^Type: cpu$/m);
  assert.match(top, /Showing nodes accounting for 30\.30ms, 100% of 30\.30ms total/);
  assert.match(top, /20\.20ms 66\.67% 66\.67% {4}20\.20ms 66\.67% {2}f7/);
  assert.match(top, /0 {5}0% {3}100% {4}20\.20ms 66\.67% {2}\[stack cut: no unwind information\]/);
});

test('go tool pprof -traces shows every frame, leaf first, and the labels', () => {
  const traces = goTool(buildProfile(samples), '-traces');
  const frames = traces.slice(traces.indexOf('20.20ms')).split('-----')[0]!;
  assert.deepEqual(
    frames
      .split('\n')
      .map((line) => line.replace('20.20ms', '').trim())
      .filter((line) => line !== ''),
    ['f7', 'inlined3 (inline)', 'f3', 'app-42+0x5', 'f8', '[stack cut: no unwind information]'],
  );
  assert.match(traces, /trace_id: {2}0123456789abcdef0123456789abcdef/);
  assert.match(traces, /pid: {2}42/);
});

test('go tool pprof -raw has addresses, build ids and the tally', () => {
  // Kernel addresses only in a file of somebody who may know them.
  assert.match(goTool(buildProfile(samples), '-raw'), / 0x0 M=1 f7/);
  const raw = goTool(buildProfile(samples, { threads: false, addresses: true }), '-raw');
  assert.match(raw, /0xffffffff81000007 M=1 f7/);
  assert.match(raw, /0x3 M=2 inlined3 app\.h:3(:0)? s=1/);
  assert.match(raw, /\/usr\/bin\/app-42 c0ffee \[FN\]\[FL\]\[LN\]\[IN\]/);
  assert.match(raw, /flametap\.tally\.taken=3/);
});

test('go tool pprof names by itself what we could not, from the addresses in the file', () => {
  const source = path.join(directory, 'hot.c');
  const program = path.join(directory, 'hot');
  writeFileSync(source, 'int hot(int a) { return a * 3; }\nint main(void) { return hot(0); }\n');
  execFileSync('gcc', ['-g', '-O0', '-pie', '-fPIE', '-o', program, source]);
  const symbols = execFileSync('nm', [program], { encoding: 'utf8' });
  const address = Number.parseInt(/^([0-9a-f]+) T hot$/m.exec(symbols)![1]!, 16);
  const built = buildProfile([{ ...plainSample, user: [address + 4] }], undefined, () => []);
  const mappings = built.mappings.map((mapping) => ({ ...mapping, file: program, buildId: '' }));
  assert.match(goTool({ ...built, mappings }, '-raw'), /M=\d hot \S*hot\.c:1/);
});

test('profiles of two moments merge by build id', () => {
  const profile = buildProfile(samples);
  const first = path.join(directory, 'first.pb.gz');
  writeFileSync(first, encodePprof(profile));
  const merged = goTool(profile, '-top', first);
  assert.match(merged, /60\.61ms total/);
});

test('the disassembler of `go tool pprof` finds the code of a sample, wherever it was linked', () => {
  const source = path.join(directory, 'hot.c');
  writeFileSync(
    source,
    '__attribute__((noinline)) int hot_work(int n) { return n * n + 3; }\n' +
      'int main(int n, char **a) { return hot_work(n); }\n',
  );
  for (const flags of [['-pie', '-fPIE'], ['-no-pie']]) {
    const file = path.join(directory, `hot${flags[0]}`);
    execFileSync('gcc', ['-O1', ...flags, '-o', file, source]);
    const symbols = execFileSync('nm', [file], { encoding: 'utf8' });
    const address = Number.parseInt(/^([0-9a-f]+) T hot_work$/m.exec(symbols)![1]!, 16);
    const image = ElfImage.parse(new FileSource(openSync(file, 'r')));
    const start = image.textBase;
    const place = { start, end: start + image.textSize, fileOffset: image.addressToOffset(start)! };
    const built = buildProfile([{ ...plainSample, user: [address] }], { threads: false }, () => [
      sourceLine('hot_work'),
    ]);
    const mappings = built.mappings.map((mapping, index) =>
      index === 0 ? mapping : { ...mapping, ...place, file, buildId: '' },
    );
    const text = goTool({ ...built, mappings }, '-disasm', 'hot_work');
    assert.match(text, new RegExp(`ms +\\S+ +${address.toString(16)}: `), text);
  }
});

test('what is pushed to Pyroscope is valid, also when it is divided, and adds up', () => {
  const samples = Array.from({ length: 40 }, (_, i) => ({
    ...plainSample,
    kernel: i % 3 === 0 ? [7] : [],
    user: [0x1000 + i, 0x2000 + (i % 7)],
    labels: i % 3,
    weight: 1 + i,
  }));
  const series = { pid: false, labels: {} };
  const [request] = encodeRequests(buildProfile(samples), series, PUSH_LIMITS);
  const halves = splitPush(request!)!.flatMap((half) => splitPush(half)!);
  const stacksOf = (requests: readonly Uint8Array[]): Map<string, number> => {
    const sums = new Map<string, number>();
    for (const { profile } of requests.flatMap(decodePush)) {
      const file = path.join(directory, 'pushed.pb');
      writeFileSync(file, profile);
      const { sampleTypes, stacks } = summaryOfFile(file);
      assert.deepEqual(sampleTypes, ['cpu/nanoseconds']);
      for (const [stack, value] of Object.entries(stacks))
        sums.set(stack, (sums.get(stack) ?? 0) + value);
    }
    return new Map([...sums].sort());
  };
  const whole = stacksOf([request!]);
  assert.deepEqual(stacksOf(halves), whole);
  const sum = [...whole.values()].reduce((a, b) => a + b, 0);
  assert.equal(sum, 820 * fixtureFacts.period);
});
