/** Goroutines of samples: which one, who made it, whose work; and stacks across cgo. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type JsonSample, markerOf, showStack, userFrames } from '../harness/chains.ts';
import { REPOSITORY } from '../harness/programs.ts';
import { countOf, type JsonTally, record } from '../harness/record.ts';

const HZ = 499;
/** Functions made for one goroutine each. */
const FUNCTIONS = 60;
const folder = mkdtempSync(join(tmpdir(), 'goroutines-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface LabelledSample extends JsonSample {
  readonly labels: Readonly<Record<string, string>>;
}

/** @param release such as `go1.21.13`, from the module proxy; undefined = the installed one */
function goBuild(
  directory: string,
  output: string,
  release?: string,
  flags: readonly string[] = [],
): string {
  const path = join(folder, output);
  const env = { ...process.env, GOFLAGS: '-buildvcs=false', GOTOOLCHAIN: release ?? 'local' };
  execFileSync('go', ['build', ...flags, '-o', path, '.'], { cwd: directory, env, stdio: 'pipe' });
  return path;
}

/** Goroutine N runs burnN: computes, makes garbage, calls the kernel, sleeps and yields. */
function burningProgram(): string {
  const functions = Array.from({ length: FUNCTIONS }, (_, n) => n);
  return `package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

var sink [${FUNCTIONS}]uint64

func goroutine() string {
	text := make([]byte, 64)
	return strings.Fields(string(text[:runtime.Stack(text, false)]))[1]
}
${functions
  .map(
    (n) => `
//go:noinline
func burn${n}(end time.Time) {
	x := uint64(${n + 1})
	for time.Now().Before(end) {
		for i := 0; i < 20000; i++ {
			x = x*6364136223846793005 + uint64(i)
		}
		block := make([]byte, 4096)
		sink[${n}] += uint64(block[x%4096]) + x
		switch x % 5 {
		case 0:
			runtime.Gosched()
		case 1:
			time.Sleep(time.Microsecond)
		case 2:
			if file, err := os.Open("/proc/self/stat"); err == nil {
				file.Read(block)
				file.Close()
			}
		}
	}
}`,
  )
  .join('\n')}

var burns = []func(time.Time){${functions.map((n) => `burn${n}`).join(', ')}}

//go:noinline
func spawnEven(n int, end time.Time, group *sync.WaitGroup, ids []string) {
	go func() { defer group.Done(); ids[n] = goroutine(); burns[n](end) }()
}

//go:noinline
func spawnOdd(n int, end time.Time, group *sync.WaitGroup, ids []string) {
	go func() { defer group.Done(); ids[n] = goroutine(); burns[n](end) }()
}

func main() {
	runtime.GOMAXPROCS(2)
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var group sync.WaitGroup
	ids := make([]string, len(burns))
	group.Add(len(burns))
	for n := range burns {
		if n%2 == 0 {
			spawnEven(n, end, &group, ids)
		} else {
			spawnOdd(n, end, &group, ids)
		}
	}
	group.Wait()
	os.WriteFile(os.Args[2], []byte(strings.Join(ids, "\\n")), 0o600)
	fmt.Println(sink[0] != 0)
}
`;
}

/** A recording with labels, and what the program wrote into the file that is its last argument. */
async function labelled(command: readonly string[]) {
  const report = join(folder, 'report');
  const recording = await record({ hz: HZ, command: [...command, report] });
  const tally = recording.tally as JsonTally & { labels_lost: Record<string, number> };
  return {
    samples: recording.samples as readonly LabelledSample[],
    lost: tally.labels_lost,
    deferred: Object.values(tally.deferred).reduce((sum, count) => sum + count, 0),
    lines: readFileSync(report, 'utf8').trim().split('\n'),
  };
}

/** @param release as goBuild() */
function buildBurning(release?: string): string {
  const source = join(folder, 'burning');
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, 'go.mod'), 'module burning\n\ngo 1.17\n');
  writeFileSync(join(source, 'main.go'), burningProgram());
  return goBuild(source, `burning-${release}`, release);
}

/** No sample in a function made for a goroutine has another's id, 99 % have one. */
async function expectOwnGoroutines(program: string, seconds: number): Promise<void> {
  const { samples, lost, lines: ids } = await labelled([program, `${seconds}`]);
  let inFunctions = 0;
  let identified = 0;
  const wrong: string[] = [];
  for (const sample of samples) {
    const { goroutine, goroutine_created_by, goroutine_kind } = sample.labels;
    const says = `${JSON.stringify(sample.labels)} ${showStack(sample)}`;
    const frames = userFrames(sample).map(({ name }) => name);
    const burning = frames.map((name) => /^main\.burn(\d+)$/.exec(name)?.[1]).find(Boolean);
    if (burning !== undefined) {
      inFunctions += sample.count;
      if (goroutine === undefined) continue;
      identified += sample.count;
      const n = Number(burning);
      if (goroutine !== ids[n]) wrong.push(`goroutine ${ids[n]}: ${says}`);
      if (goroutine_created_by !== (n % 2 === 0 ? 'main.spawnEven' : 'main.spawnOdd')) {
        wrong.push(`creator: ${says}`);
      }
      if (goroutine_kind !== 'user' && goroutine_kind !== 'signal') wrong.push(`kind: ${says}`);
    } else if (goroutine !== undefined && frames.includes('runtime.gcBgMarkWorker')) {
      if (goroutine_kind !== 'system' && goroutine_kind !== 'signal') wrong.push(`kind: ${says}`);
      if (ids.includes(goroutine)) wrong.push(`a collector's: ${says}`);
    } else if (frames.includes('runtime.findRunnable') && goroutine !== undefined) {
      wrong.push(`runs for nobody: ${says}`);
    }
  }
  assert.deepEqual(wrong, []);
  // It runs for a time; how much of that is its own, others on the machine decide.
  assert.ok(inFunctions > 100, `only ${inFunctions} samples in the functions`);
  assert.ok(
    identified >= 0.99 * inFunctions,
    `${identified} of ${inFunctions} say their goroutine, ${JSON.stringify(lost)}`,
  );
  const all = Object.values(lost).reduce((sum, count) => sum + count, 0);
  assert.ok(inFunctions - identified <= all, 'a goroutine is missing without a reason');
}

// Two threads carry 60 goroutines, which are preempted, sleep and are stopped by the collector.
for (const release of [undefined, 'go1.21.13']) {
  test(`every goroutine has its own function, ${release ?? 'the installed Go'}`, async () => {
    await expectOwnGoroutines(buildBurning(release), 5);
  });
}

/** The program as if a release that is in no table had built it. */
function ofUnknownRelease(program: string): string {
  const bytes = readFileSync(program);
  const version = execFileSync('go', ['version', program], { encoding: 'utf8' });
  const [known] = /go1\.\d\d/.exec(version)!;
  for (let at = bytes.indexOf(known); at >= 0; at = bytes.indexOf(known, at)) {
    bytes.write('go1.99', at, 'latin1');
  }
  const path = `${program}-unknown`;
  writeFileSync(path, bytes, { mode: 0o755 });
  return path;
}

test('a release that nobody knows, by its debug information', async () => {
  const program = ofUnknownRelease(buildBurning());
  assert.match(execFileSync('go', ['version', program], { encoding: 'utf8' }), /go1\.99/);
  await expectOwnGoroutines(program, 2);
});

/** One piece from the root to the leaf: C that Go calls, Go that C calls. */
const INTO_C = ['runtime.cgocall', 'runtime.asmcgocall'];
const INTO_GO = [
  'crosscall2',
  'runtime.cgocallback',
  'runtime.cgocallbackg',
  'runtime.cgocallbackg1',
];
const ROUND = ['main._Cfunc_c_outer', ...INTO_C, 'c_outer', ...INTO_GO, 'main.goMiddle'];
const NESTED = ['runtime.goexit', 'main.main.func1', 'main.nested', ...ROUND, ...ROUND, ...ROUND];
const PLAIN = ['runtime.goexit', 'main.main.func2', 'main.plain'];
const C_LEAF = ['c_leaf', 'c_spin'];
const GO_TO_C_LEAF = ['main._Cfunc_c_leaf', ...INTO_C, ...C_LEAF];
/** Wrappers that cgo makes, and one stub of ours for C to call. */
const isGlue = (name: string): boolean =>
  /^_cgo|^goMiddle$|^goLeaf$|^Work$|^Background$/.test(name);

/** Samples in `leaf` below `root`: their frames without glue and repeats must be `expected`. */
function expectWhole(
  samples: readonly JsonSample[],
  expected: readonly string[],
  leaf: readonly string[],
): number {
  const whole = samples.filter((sample) => {
    const names = userFrames(sample)
      .map(({ name }) => name.replace(/\.abi0$/, ''))
      .filter((name, i, all) => !isGlue(name) && name !== all[i - 1]);
    return names.join(' ') === [...expected, ...leaf].join(' ');
  });
  return countOf(whole);
}

/** Samples in the spinning functions, but for those cut because they were the process's first. */
function spinning(samples: readonly LabelledSample[], deferred: number): LabelledSample[] {
  const inSpin = samples.filter(({ stack }) =>
    stack.some(({ name }) => /(c_|\.go)[sS]pin$/.test(name)),
  );
  const cut = inSpin.filter((sample) => markerOf(sample) !== undefined);
  assert.ok(countOf(cut) <= deferred, `cut:\n${cut.map(showStack).slice(0, 5).join('\n')}`);
  return inSpin.filter((sample) => markerOf(sample) === undefined);
}

const isThread = (sample: JsonSample): boolean =>
  userFrames(sample).some(({ name }) => name === 'thread_body');

// Go 1.20 has no frame pointers where stacks are switched.
for (const release of [undefined, 'go1.20.14']) {
  test(`calls between Go and C, nested, are one stack, ${release ?? 'the installed Go'}`, async () => {
    const directory = join(REPOSITORY, 'test/programs/go-cgo');
    const program = goBuild(directory, `go-cgo-${release}`, release);
    const { samples, deferred, lines } = await labelled([program, '4']);
    const ids = Object.fromEntries(lines.map((line) => line.split(' ')));
    const inSpin = spinning(samples, deferred);
    const total = countOf(inSpin);
    assert.ok(total > 100, `only ${total} samples`);
    const fromThreads = inSpin.filter(isThread);
    const fromGo = inSpin.filter((sample) => !isThread(sample));
    const counts = [
      expectWhole(fromGo, NESTED, GO_TO_C_LEAF),
      expectWhole(fromGo, NESTED, ['main.goSpin']),
      expectWhole(fromGo, PLAIN, GO_TO_C_LEAF),
    ];
    const whole = counts.reduce((sum, count) => sum + count, 0);
    assert.ok(
      counts.every((count) => count > 0),
      `${counts}`,
    );
    // First samples on a busy machine may come without their stacks.
    assert.ok(
      whole >= 0.995 * countOf(fromGo) - 1,
      `${whole} of ${countOf(fromGo)} are whole, such as\n${fromGo.map(showStack).slice(0, 5).join('\n')}`,
    );
    for (const { labels, stack } of fromGo) {
      const name = stack.some((frame) => frame.name === 'main.plain') ? 'plain' : 'nested';
      assert.ok(labels.goroutine === undefined || labels.goroutine === ids[name], name);
    }
    // Threads of C: whole through the callback to where C started them; no goroutine outside of Go.
    const callbacks = fromThreads.filter(({ stack }) =>
      stack.some(({ name }) => name === 'main.goLeaf'),
    );
    assert.ok(countOf(callbacks) > 0 && callbacks.length < fromThreads.length);
    for (const sample of fromThreads) {
      const names = userFrames(sample).map(({ name }) => name.replace(/\.abi0$/, ''));
      const tail = names.slice(names.indexOf('thread_body') + 1).filter((name) => !isGlue(name));
      // A signal of the runtime's that asks the goroutine to give way.
      const preempted = tail.indexOf('runtime.asyncPreempt');
      if (preempted > 0) tail.length = preempted;
      const isCallback = callbacks.includes(sample);
      const expected = isCallback ? [...INTO_GO, 'main.goLeaf', 'main.goSpin'] : C_LEAF;
      assert.deepEqual(
        tail.filter((name, i) => name !== tail[i - 1]),
        expected,
      );
      if (!isCallback) assert.deepEqual(sample.labels, {});
      else
        assert.ok(sample.labels.goroutine !== ids.plain && sample.labels.goroutine !== ids.nested);
    }
  });
}

// Where its threads keep g is the loader's decision, made when the program runs.
test('goroutines of a Go library that a C program loads', async () => {
  const directory = join(REPOSITORY, 'test/programs/go-library');
  const library = goBuild(directory, 'library.so', undefined, ['-buildmode=c-shared']);
  const host = join(folder, 'host');
  execFileSync('gcc', ['-O1', '-o', host, join(directory, 'host/host.c'), '-ldl']);
  const { samples, deferred, lines } = await labelled([host, '4', library]);
  const background = new Set(
    lines.filter((line) => line.startsWith('Background')).map((line) => line.split(' ')[1]),
  );
  const [work] = lines.filter((line) => line.startsWith('Work')).map((line) => line.split(' ')[1]);
  let [identified, inGo] = [0, 0];
  for (const sample of spinning(samples, deferred)) {
    const names = userFrames(sample).map(({ name }) => name);
    inGo += sample.count;
    const { goroutine } = sample.labels;
    if (goroutine !== undefined) identified += sample.count;
    if (names.includes('main.inBackground')) {
      assert.ok(goroutine === undefined || background.has(goroutine), `${goroutine}`);
    } else {
      assert.ok(names.includes('main') && names.includes('crosscall2'), showStack(sample));
      assert.ok(goroutine === undefined || goroutine === work, `${goroutine}, not ${work}`);
    }
  }
  assert.ok(inGo > 200 && identified >= 0.99 * (inGo - deferred), `${identified} of ${inGo}`);
  const inC = samples.filter(({ stack }) => stack[0]?.name === 'in_c');
  assert.ok(countOf(inC) > 50);
  for (const { labels } of inC) assert.deepEqual(labels, {}, 'no goroutine called it');
});
