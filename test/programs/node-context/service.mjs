/**
 * Serves overlapping requests, traced with the OpenTelemetry SDK: request N burns its
 * time in functions made for its spans, between waits of many kinds.
 * usage: node service.mjs CARRIER SECONDS WORKERS REPORT
 * CARRIER: `datadog`, the path of a library that does as custom-labels, or `none`.
 * REPORT gets what is true of each span: function, ids, microseconds of CPU time.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads';
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const REQUESTS_AT_ONCE = 12;
const require = createRequire(import.meta.url);

/** How to run a function so that samples in it carry a span's ids: one for each carrier. */
const carriers = {
  none: () => (_span, run) => run(),
  datadog() {
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
  },
  labels(path) {
    const { withLabels, withoutLabels } = require(path.replace(/\.node$/, '.cjs'));
    return (span, run) => {
      if (span === undefined) return withoutLabels(run);
      const { traceId, spanId } = span.spanContext();
      return withLabels(run, 'trace_id', traceId, 'other', 'x'.repeat(40), 'span_id', spanId);
    };
  },
};

const bytes = (hex) => Buffer.from(hex, 'hex');

class CarryingContexts extends AsyncLocalStorageContextManager {
  #carry;
  constructor(carry) {
    super();
    this.#carry = carry;
  }
  with(active, run, self, ...rest) {
    return this.#carry(trace.getSpan(active), () => super.with(active, run, self, ...rest));
  }
}

const [carrier, seconds, workers, report] = workerData ?? process.argv.slice(2);
const carry = carriers[carrier]?.() ?? carriers.labels(carrier);
new NodeTracerProvider().register({ contextManager: new CarryingContexts(carry) });
const tracer = trace.getTracer('service');

/** What is alive for a while, so that the collector has something to move. */
const kept = [];
let churn = 0;

function burn(milliseconds) {
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

function cpuTime() {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

const truth = [];
/** Their code stays where it is: names are found by address. */
const functions = [];

/** Burns in a function that is made for this span alone; compiled once, never inlined. */
function burnIn(span, name) {
  const { traceId, spanId } = span.spanContext();
  const own = `${name}_${threadId}_${truth.length}`;
  const run = new Function('burn', `return function ${own}(ms) { return burn(ms) + 1; }`)(burn);
  functions.push(run);
  const begun = cpuTime();
  run(1 + (truth.length % 4));
  truth.push({ name: own, traceId, spanId, microseconds: cpuTime() - begun });
}

const waits = [
  () => pause(1),
  () => nextTurn(),
  () => Promise.resolve(),
  () => readFile(report.replace(/[^/]*$/, '.')).catch(() => {}),
  () => new Promise((done) => process.nextTick(done)),
  () => new Promise((done) => setImmediate(() => setTimeout(done, 2))),
];

async function serve(number) {
  await tracer.startActiveSpan('request', async (span) => {
    burnIn(span, 'outer');
    await waits[number % waits.length]();
    burnIn(span, 'outer');
    const children = [0, 1].map((child) =>
      tracer.startActiveSpan('step', async (step) => {
        await waits[(number + child + 1) % waits.length]();
        burnIn(step, 'inner');
        await waits[(number + child + 2) % waits.length]();
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
  const own = `nobody_${threadId}_${number}`;
  const run = new Function('burn', `return function ${own}(ms) { return burn(ms) + 1; }`)(burn);
  functions.push(run);
  run(1);
}

async function serveUntil(end) {
  let number = 0;
  const loop = async () => {
    while (performance.now() < end) await serve(number++);
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, loop));
}

const all = isMainThread
  ? Array.from({ length: Number(workers) }, () => {
      const worker = new Worker(new URL(import.meta.url), {
        workerData: [carrier, seconds, 0, report],
      });
      return new Promise((done, fail) => {
        worker.once('message', done);
        worker.once('error', fail);
      });
    })
  : [];
await serveUntil(performance.now() + Number(seconds) * 1000);
if (isMainThread) {
  truth.push(...(await Promise.all(all)).flat());
  await writeFile(report, JSON.stringify(truth));
} else parentPort.postMessage(truth);
