/** Agents one after the other on a simulated disk and clock, before one backend. */
import { Backend, DELIVERED, DOWN, openExporter, SETTINGS } from './backend.test-support.ts';
import type { Exporter, ExporterSettings } from './exporter.ts';
import { SimulatedClock } from './simulated-clock.test-support.ts';
import { SimulatedDisk } from './simulated-disk.test-support.ts';

const HOUR = 3_600_000;

/** One queue on a simulated disk; its agents keep requests for an hour. */
export class FaultWorld {
  readonly clock = new SimulatedClock();
  readonly disk = new SimulatedDisk();
  readonly backend = new Backend();
  readonly warnings: string[] = [];

  open(settings: Partial<ExporterSettings> = {}): Exporter {
    const queue = { ...SETTINGS.queue, maxAgeMs: HOUR };
    const host = {
      clock: this.clock,
      openFolder: () => this.disk.mount(),
      warn: (cause: string, message: string) => void this.warnings.push(`${cause}: ${message}`),
    };
    return openExporter(this.backend, host, { queue, ...settings });
  }

  up(): void {
    this.backend.answer = () => DELIVERED;
  }

  down(): void {
    this.backend.answer = () => DOWN;
  }
}
