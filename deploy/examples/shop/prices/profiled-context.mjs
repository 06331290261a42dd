// OpenTelemetry's context manager for Node.js that also shows the ids of the active span to
// profilers outside of the process (OTEP 4947 by way of @datadog/pprof).
import pprof from '@datadog/pprof';
import { trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';

const { ThreadContext } = pprof.otelThreadCtx;

export class ProfiledContextManager extends AsyncLocalStorageContextManager {
  // One record per span, as long as somebody has the span.
  #records = new WeakMap();

  with(context, work, self, ...args) {
    const span = trace.getSpan(context);
    const run = () => super.with(context, work, self, ...args);
    return span?.spanContext().traceId ? this.#record(span).run(run) : run();
  }

  #record(span) {
    let record = this.#records.get(span);
    if (!record) {
      const { traceId, spanId, traceFlags } = span.spanContext();
      record = new ThreadContext(
        Buffer.from(traceId, 'hex'),
        Buffer.from(spanId, 'hex'),
        traceFlags,
      );
      this.#records.set(span, record);
    }
    return record;
  }
}
