/** The metrics of the exporters, each under its name. */
import type { Family, Sample } from './exposition.ts';

/** What keeps an exporter's receiver from taking anything until somebody mends it. */
export interface ExporterFault {
  /** Stable, of a few. */
  readonly code: string;
  readonly to: string;
  /** What happened, where, and what to do about it. */
  readonly message: string;
  /** Of the configuration, the likeliest first. */
  readonly keys: readonly string[];
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
}

/** As of now; counts are since the start. */
export interface ExporterReading {
  readonly exporter: string;
  /** Requests that wait. */
  readonly queueSize: number;
  /** Of its files: what was sent leaves with the file that it is in. */
  readonly queueBytes: number;
  /** Bytes that may wait at most. */
  readonly queueCapacity: number;
  /** Requests that arrived. */
  readonly sent: number;
  /** Attempts that failed; most are made again. */
  readonly sendFailed: number;
  /** Requests given up, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** What receivers rejected of requests that they took, as they count. */
  readonly rejected: number;
  /** Handed to the network, repeats included, before compression. */
  readonly requestBytes: number;
  readonly breaker: 'closed' | 'open' | 'half_open';
  readonly inFlight: number;
  readonly fault: ExporterFault | undefined;
}

const BREAKER_STATES = ['closed', 'open', 'half_open'] as const;

export function* exporterFamilies(exporters: readonly ExporterReading[]): Iterable<Family> {
  const family = (
    name: string,
    help: string,
    type: Family['type'],
    samplesOf: (reading: ExporterReading) => Sample[],
  ): Family => ({
    name: `flametap_exporter_${name}`,
    help,
    type,
    samples: exporters.flatMap((reading) =>
      samplesOf(reading).map(({ labels, value }) => ({
        labels: { exporter: reading.exporter, ...labels },
        value,
      })),
    ),
  });
  const plain = (value: number): Sample[] => [{ value }];

  yield family('queue_size', 'Requests that wait in the queue.', 'gauge', (reading) =>
    plain(reading.queueSize),
  );
  yield family(
    'queue_bytes',
    'Bytes that the queue takes; what was sent leaves it a file at a time.',
    'gauge',
    (reading) => plain(reading.queueBytes),
  );
  yield family(
    'queue_capacity',
    'Bytes that may wait in the queue before the oldest are dropped.',
    'gauge',
    (reading) => plain(reading.queueCapacity),
  );
  yield family('sent_total', 'Requests that the receiver has taken.', 'counter', (reading) =>
    plain(reading.sent),
  );
  yield family(
    'send_failed_total',
    'Attempts to send that failed; most requests are sent again.',
    'counter',
    (reading) => plain(reading.sendFailed),
  );
  yield family('dropped_total', 'Requests given up, by reason.', 'counter', (reading) =>
    Object.entries(reading.dropped).map(([reason, value]) => ({ labels: { reason }, value })),
  );
  yield family(
    'rejected_total',
    'Parts of requests that the receiver took without them, as it counts.',
    'counter',
    (reading) => plain(reading.rejected),
  );
  yield family(
    'request_bytes_total',
    'Bytes of requests sent, repeats included, before compression.',
    'counter',
    (reading) => plain(reading.requestBytes),
  );
  yield family('in_flight', 'Requests being sent.', 'gauge', (reading) => plain(reading.inFlight));
  yield family(
    'breaker_state',
    'Circuit breaker: 1 at the state it is in (open: nothing is sent for a while).',
    'gauge',
    (reading) =>
      BREAKER_STATES.map((state) => ({
        labels: { state },
        value: reading.breaker === state ? 1 : 0,
      })),
  );
  yield family(
    'fault',
    'What keeps the receiver from taking anything until somebody mends it (its credentials, address, certificate, …): 1 at the fault that stands. Requests wait meanwhile.',
    'gauge',
    ({ fault }) => [
      // 0 when none stands, so that an alert has something to look at.
      ...(fault
        ? [{ labels: { fault: fault.code }, value: 1 }]
        : [{ labels: { fault: 'none' }, value: 0 }]),
    ],
  );
}
