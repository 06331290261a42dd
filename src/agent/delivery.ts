/** All exporters of an agent: each profile goes to each of them, and none holds up another. */
import { isDeepStrictEqual } from 'node:util';
import type { ExporterConfig } from '../config/exporter-schema.ts';
import { Exporter } from '../export/exporter.ts';
import type { Destination } from '../export/transport.ts';
import type { Profile } from '../profile/model.ts';
import type { ExporterReading } from '../telemetry/exporter-metrics.ts';
import { type Attributes, destinationOf, settingsOf } from './destinations.ts';

export interface DeliveryEvents {
  /** Called at every occurrence: whoever logs it says it once in a while. */
  onWarning(exporter: string, cause: string, message: string): void;
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
}

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
        kept(name) ? this.#running.get(name)! : { plan, exporter: this.#open(plan) },
      ]),
    );
  }

  /** Puts the profile into every queue. */
  accept(profile: Profile): void {
    for (const { exporter } of this.#running.values()) exporter.accept(profile);
  }

  get readings(): ExporterReading[] {
    return [...this.#running].map(([name, { exporter }]) => {
      const { split, accepted, recovered, queueOnDisk, ...stats } = exporter.stats();
      return { exporter: name, ...stats };
    });
  }

  /** Sends for so long what it can; what is left stays in the queues. Never rejects. */
  async close(deadlineMs: number): Promise<void> {
    await Promise.all(
      [...this.#running.values()].map(({ exporter }) => exporter.close(deadlineMs)),
    );
  }

  #open({ exporter, attributes }: Plan): Exporter {
    const { name } = exporter;
    return Exporter.open(this.#destinationOf(exporter, attributes), settingsOf(exporter), {
      warn: (cause, message) => this.#events.onWarning(name, cause, message),
    });
  }
}
