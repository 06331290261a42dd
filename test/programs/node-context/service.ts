/**
 * Serves overlapping requests, traced with the OpenTelemetry SDK: request N burns its
 * time in functions made for its spans, between waits of many kinds.
 * usage: node service.ts CARRIER SECONDS WORKERS REPORT
 * CARRIER: `datadog`, or the path of a library that does as custom-labels.
 * REPORT gets what is true: of each span its function, ids and microseconds of CPU time.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads';
import { type Context, type Span, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { LabelStorage } from './labels.ts';

const REQUESTS_AT_ONCE = 12;
const require = createRequire(import.meta.url);

/** Runs a function so that samples in it carry the ids of a span, or none. */
type Carry = <T>(span: Span | undefined, run: () => T) => T;

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');

function carryByDatadog(): Carry {
  const { ThreadContext, clearContext, getContext } = require('@datadog/pprof').otelThreadCtx;
  const contexts = new WeakMap();
  return (span, run) => {
    if (span === undefined) {
      const before = getContext();
      clearContext();
      try {
        return run();
      } finally {
        before?.enter();
      }
    }
    let known = contexts.get(span);
    if (known === undefined) {
      const { traceId, spanId, traceFlags } = span.spanContext();
      known = new ThreadContext(bytes(traceId), bytes(spanId), traceFlags, []);
      contexts.set(span, known);
    }
    return known.run(run);
  };
}

function carryByLabels(path: string): Carry {
  const storage = new LabelStorage(path);
  return (span, run) => {
    if (span === undefined) return storage.without(run);
    const { traceId, spanId } = span.spanContext();
    return storage.with(run, 'trace_id', traceId, 'other', 'x'.repeat(40), 'span_id', spanId);
  };
}

class CarryingContexts extends AsyncLocalStorageContextManager {
  readonly #carry: Carry;
  constructor(carry: Carry) {
    super();
    this.#carry = carry;
  }
  override with<A extends unknown[], F extends (...rest: A) => ReturnType<F>>(
    active: Context,
    run: F,
    self?: ThisParameterType<F>,
    ...rest: A
  ): ReturnType<F> {
    return this.#carry(trace.getSpan(active), () => super.with(active, run, self, ...rest));
  }
}

const [carrier, seconds, workers, report] = (workerData ?? process.argv.slice(2)) as string[] as [
  string,
  string,
  string,
  string,
];
const carry = carrier === 'datadog' ? carryByDatadog() : carryByLabels(carrier);
new NodeTracerProvider().register({ contextManager: new CarryingContexts(carry) });
const tracer = trace.getTracer('service');

/** What is alive for a while, so that the collector has something to move. */
const kept: object[] = [];
let churn = 0;

function burn(milliseconds: number): number {
  const end = cpuTime() + milliseconds * 1000;
  let sum = 0;
  do {
    for (let i = 0; i < 200; i++) {
      const one = { i, text: `${i}`, list: [sum] };
      sum += one.text.length;
      kept[churn++ % 20_000] = one;
    }
  } while (cpuTime() < end);
  return sum;
}

function cpuTime(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

interface Burnt {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly microseconds: number;
}

const truth: Burnt[] = [];
/** Their code stays where it is: names are found by address. */
const functions: Burner[] = [];

type Burner = (milliseconds: number) => number;

/** For who does not want to be compiled twice, or inlined. */
function makeBurner(name: string): Burner {
  const made = new Function('burn', `return function ${name}(ms) { return burn(ms) + 1; }`)(burn);
  functions.push(made);
  return made;
}

/** Burns in a function that is made for this span alone; compiled once, never inlined. */
function burnIn(span: Span, name: string): void {
  const { traceId, spanId } = span.spanContext();
  const own = `${name}_${threadId}_${truth.length}`;
  const run = makeBurner(own);
  const begun = cpuTime();
  run(1 + (truth.length % 4));
  truth.push({ name: own, traceId, spanId, microseconds: cpuTime() - begun });
}

const waits: readonly (() => Promise<unknown>)[] = [
  () => pause(1),
  () => nextTurn(),
  () => Promise.resolve(),
  () => readFile(report.replace(/[^/]*$/, '.')).catch(() => {}),
  () => new Promise<void>((done) => process.nextTick(done)),
  () => new Promise<void>((done) => setImmediate(() => setTimeout(done, 2))),
];

const wait = (number: number): Promise<unknown> => waits[number % waits.length]!();

async function serve(number: number): Promise<void> {
  await tracer.startActiveSpan('request', async (span) => {
    burnIn(span, 'outer');
    await wait(number);
    burnIn(span, 'outer');
    const children = [0, 1].map((child) =>
      tracer.startActiveSpan('step', async (step) => {
        await wait(number + child + 1);
        burnIn(step, 'inner');
        await wait(number + child + 2);
        if (number % 16 === 0) global.gc?.();
        burnIn(step, 'inner');
        step.end();
      }),
    );
    await Promise.all(children);
    burnIn(span, 'outer');
    span.end();
  });
  // Of nobody: outside of every span.
  makeBurner(`nobody_${threadId}_${number}`)(1);
}

async function serveUntil(end: number): Promise<void> {
  let number = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() < end) await serve(number++);
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, loop));
}

const all = isMainThread
  ? Array.from({ length: Number(workers) }, () => {
      const worker = new Worker(new URL(import.meta.url), {
        workerData: [carrier, seconds, 0, report],
      });
      return new Promise<Burnt[]>((done, fail) => {
        worker.once('message', done);
        worker.once('error', fail);
      });
    })
  : [];
// A profiler needs a moment to find out how to read a process.
carry(undefined, () => makeBurner(`nobody_${threadId}_start`)(200));
await pause(1000);
await serveUntil(performance.now() + Number(seconds) * 1000);
if (isMainThread) {
  const spans = [...truth, ...(await Promise.all(all)).flat()];
  const { user, system } = process.cpuUsage();
  await writeFile(report, JSON.stringify({ pid: process.pid, microseconds: user + system, spans }));
} else parentPort?.postMessage(truth);
