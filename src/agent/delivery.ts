/** All exporters of an agent: each profile goes to each of them, and none holds up another. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ExporterConfig } from '../config/exporter-schema.ts';
import { Exporter } from '../export/exporter.ts';
import { keysIn, type StandingFault, withKeys } from '../export/fault.ts';
import { folderName } from '../export/queue-folder.ts';
import type { Destination } from '../export/transport.ts';
import { withoutAddresses } from '../profile/address-layout.ts';
import type { Profile } from '../profile/model.ts';
import type { ExporterFault, ExporterReading } from '../telemetry/exporter-metrics.ts';
import { type Attributes, destinationOf, settingsOf } from './destinations.ts';

/** Called at every occurrence: whoever logs it says it once in a while. */
export interface DeliveryEvents {
  /** An exporter begins, or begins anew because it is configured otherwise. */
  onOpen(exporter: string, opened: Opened): void;
  onWarning(exporter: string, cause: string, message: string): void;
  /** The first request has arrived. */
  onArrival(exporter: string, arrival: { readonly to: string }): void;
  /** Nothing is taken until somebody mends this. */
  onFault(exporter: string, fault: ExporterFault): void;
  /** Its receiver answers again, after so many attempts. */
  onRecovery(
    exporter: string,
    recovery: { readonly failures: number; readonly waiting: number },
  ): void;
}

export interface Opened {
  /** Without names and passwords. */
  readonly to: string;
  /** Folder; undefined = in memory. */
  readonly queue: string | undefined;
  /** Requests of an earlier agent. */
  readonly waiting: number;
}

/** Where profiles go. */
export interface Targets {
  /** With names that differ. */
  readonly exporters: readonly ExporterConfig[];
  /** Of every resource. */
  readonly attributes: Attributes;
}

/** What an exporter is made of: while it stays the same, the exporter does. */
interface Plan {
  readonly exporter: ExporterConfig;
  readonly attributes: Attributes;
}

interface Running {
  readonly plan: Plan;
  readonly exporter: Exporter;
  readonly describe: (fault: StandingFault) => ExporterFault;
  /** Requests by reason, as told. */
  dropped: Readonly<Record<string, number>>;
}

/** Of drops that are told by nobody when they happen; the keys of the configuration that decide. */
const DROPPED_FOR: Readonly<Record<string, string>> = {
  queue_full: 'the queue is at queue.max_bytes, and the oldest give way',
  too_old: 'they have waited longer than queue.max_age',
  retries_exhausted: 'they could not be sent within retry.max_elapsed',
  disk_full: 'the disk of the queue is full, and memory for it is used up',
  read_only: 'the disk of the queue takes no writes, and memory for it is used up',
  disk_error: 'the disk of the queue fails, and memory for it is used up',
};

/** Of warnings about the destination; those about the queue name its folder. */
const BEGINNINGS: readonly (readonly [RegExp, string])[] = [
  [/^send_failed$/, 'cannot deliver profiles to ADDRESS: '],
  [/^(refused_|too_large|partial_success)/, 'ADDRESS: '],
];

/** An exporter that is configured otherwise sends for so long what it can; the rest is in its queue. */
const REPLACED_MS = 2_000;

export class Delivery {
  readonly #events: DeliveryEvents;
  readonly #destinationOf: (exporter: ExporterConfig, attributes: Attributes) => Destination;
  /** By name, in the order of the configuration. */
  #running = new Map<string, Running>();

  constructor(events: DeliveryEvents, make = destinationOf) {
    this.#events = events;
    this.#destinationOf = make;
  }

  /**
   * Runs these exporters, and no others. Those that stay as
   * they were are not disturbed. Never rejects for what a peer does.
   */
  async apply({ exporters, attributes }: Targets): Promise<void> {
    const plans = new Map(exporters.map((exporter) => [exporter.name, { exporter, attributes }]));
    const kept = (name: string): boolean =>
      isDeepStrictEqual(this.#running.get(name)?.plan, plans.get(name));
    // First these: a queue's folder belongs to one exporter at a time.
    await Promise.all(
      [...this.#running]
        .filter(([name]) => !kept(name))
        .map(([, { exporter }]) => exporter.close(REPLACED_MS)),
    );
    this.#running = new Map(
      [...plans].map(([name, plan]) => [
        name,
        kept(name) ? this.#running.get(name)! : this.#open(plan, prefixOf(exporters, name)),
      ]),
    );
  }

  /** Puts the profile into every queue. */
  accept(profile: Profile): void {
    const shown = withoutAddresses(profile);
    for (const [name, running] of this.#running) {
      running.exporter.accept(running.plan.exporter.addresses ? profile : shown);
      this.#tellDrops(name, running);
    }
  }

  get readings(): ExporterReading[] {
    return [...this.#running].map(([name, { exporter, describe }]) => {
      const { split, accepted, recovered, queueOnDisk, fault, ...stats } = exporter.stats();
      return { exporter: name, ...stats, fault: fault && describe(fault) };
    });
  }

  /** Somebody may have mended what kept an exporter from sending. */
  tryNow(): void {
    for (const { exporter } of this.#running.values()) exporter.tryNow();
  }

  /** Sends for so long what it can; what is left stays in the queues. Never rejects. */
  async close(deadlineMs: number): Promise<void> {
    await Promise.all(
      [...this.#running.values()].map(({ exporter }) => exporter.close(deadlineMs)),
    );
  }

  /** @param prefix of its keys */
  #open(plan: Plan, prefix: string): Running {
    const { name } = plan.exporter;
    const settings = settingsOf(plan.exporter);
    const destination = this.#destinationOf(plan.exporter, plan.attributes);
    const to = destination.address;
    const describe = ({ code, reason, mend, sinceMs }: StandingFault): ExporterFault => ({
      code,
      to,
      message: `cannot deliver profiles to ${to}: ${reason}; ${withKeys(mend, prefix)}`,
      keys: keysIn(mend, prefix),
      sinceMs,
    });
    const exporter = Exporter.open(destination, settings, {
      warn: (cause, message, mend) => {
        const hint = mend === undefined ? '' : `; ${withKeys(mend, prefix)}`;
        const about = BEGINNINGS.find(([causes]) => causes.test(cause))?.[1] ?? '';
        this.#events.onWarning(name, cause, about.replace('ADDRESS', to) + message + hint);
      },
      arrived: () => this.#events.onArrival(name, { to }),
      faulty: (fault) => this.#events.onFault(name, describe(fault)),
      recovered: (failures) =>
        this.#events.onRecovery(name, { failures, waiting: exporter.stats().queueSize }),
    });
    const { queueOnDisk, queueSize } = exporter.stats();
    const { directory = '' } = settings.queue;
    const queue = queueOnDisk ? join(directory, folderName(name)) : undefined;
    this.#events.onOpen(name, { to, queue, waiting: queueSize });
    return { plan, exporter, describe, dropped: {} };
  }

  #tellDrops(name: string, running: Running): void {
    const { dropped } = running.exporter.stats();
    for (const [reason, why] of Object.entries(DROPPED_FOR)) {
      const count = (dropped[reason] ?? 0) - (running.dropped[reason] ?? 0);
      if (count > 0)
        this.#events.onWarning(name, `dropped_${reason}`, `requests dropped: ${count}; ${why}`);
    }
    running.dropped = dropped;
  }
}

/** @returns exporters.0.otlp., as the configuration has its keys */
function prefixOf(exporters: readonly ExporterConfig[], name: string): string {
  const index = exporters.findIndex((exporter) => exporter.name === name);
  return `exporters.${index}.${exporters[index]!.kind}.`;
}
