// Quotes prices. Those of old books are slow on purpose: see appraise.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { context, propagation, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { hrTimeToMilliseconds, W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { ProfiledContextManager } from './profiled-context.mjs';

const slowSpans = {
  onStart() {},
  onEnd(span) {
    const ms = Math.round(hrTimeToMilliseconds(span.duration));
    if (span.kind !== SpanKind.SERVER || ms < 50) return;
    const { traceId, spanId } = span.spanContext();
    const service = process.env.OTEL_SERVICE_NAME;
    const line = { service, span: span.name, trace_id: traceId, span_id: spanId, ms };
    console.log(JSON.stringify(line));
  },
  forceFlush: async () => {},
  shutdown: async () => {},
};

trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [slowSpans] }));
context.setGlobalContextManager(new ProfiledContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
const tracer = trace.getTracer('prices');

function countCoins(item) {
  let coins = item.length;
  for (let i = 0; i < 100_000; i++) coins = (coins * 31 + i) % 1_000_003;
  return coins;
}

/** Tries every way to fold the pages. */
function appraise(item) {
  let worth = 0;
  for (let fold = 1; fold < 40_000_000; fold++) worth = (worth ^ (fold * item.length)) >>> 0;
  return worth;
}

async function quote(item) {
  await sleep(2);
  const coins = countCoins(item);
  await sleep(1);
  return item.startsWith('book') ? coins + appraise(item) : coins;
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://prices');
  const parent = propagation.extract(ROOT_CONTEXT, request.headers);
  const span = tracer.startSpan(url.pathname, { kind: SpanKind.SERVER }, parent);
  context.with(trace.setSpan(parent, span), async () => {
    const price = await quote(url.searchParams.get('item') ?? '');
    response.end(`${price} coins`);
    span.end();
  });
});
const [host, port] = process.env.LISTEN.split(':');
server.listen(Number(port), host);
