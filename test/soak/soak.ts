/** The soak: an agent, ordinary loads, churn and a backend that flaps, for as long as it takes to see leaks. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  parseExposition,
  sampleValue,
} from '../../src/telemetry/strict-exposition.test-support.ts';
import { mapMemory } from '../bench/meter.ts';
import { type RunningAgent, startAgent, sumOfProfiles } from '../harness/agent.ts';
import { pause } from '../harness/record.ts';
import { Cages, sweepMaps } from '../zoo/cage.ts';
import { OrdinaryLoads } from '../zoo/ordinary.ts';
import { installPrograms } from '../zoo/programs.ts';
import { descriptorCount, residentBytes, startTicks } from '../zoo/watch.ts';
import { Churn, flap, Hotplug } from './churn.ts';
import { Heaps } from './heaps.ts';
import { Receiver } from './receiver.ts';
import type { Series } from './series.ts';

export interface SoakPlan {
  readonly seconds: number;
  /** Between two readings. */
  readonly readingSeconds: number;
  /** Of each mood of the backend. */
  readonly moodSeconds: number;
  /** After which all churning programs begin anew. */
  readonly renewSeconds: number;
  readonly intervalSeconds: number;
  readonly hotplug: boolean;
}

export interface Soaked {
  readonly series: readonly Series[];
  readonly readingSeconds: number;
  /** Samples by the agent's log, and by what has arrived. */
  readonly taken: number;
  readonly exported: number;
  readonly arrived: number;
  readonly arrivedTaken: number;
  readonly lost: number;
  /** Requests that were not sent at the end. */
  readonly queued: number;
  readonly requests: number;
  readonly repeated: number;
  readonly exitCode: number | null;
  /** Why the agent did not live through it. */
  readonly death: string | undefined;
  /** What it called an error. */
  readonly errors: readonly string[];
}

/** For the queue to become empty at the end. */
const DRAIN_SECONDS = 120;
const EXPORTER = 'backend';

class Readings {
  readonly #columns = new Map<string, { unit: Series['unit']; values: number[] }>();

  add(name: string, unit: Series['unit'], value: number): void {
    const column = this.#columns.get(name) ?? { unit, values: [] };
    this.#columns.set(name, column);
    column.values.push(unit === 'MiB' ? value / 2 ** 20 : value);
  }

  get series(): Series[] {
    return [...this.#columns].map(([name, { unit, values }]) => ({ name, unit, values }));
  }
}

/** @param tell gets a line for each reading */
export async function soak(plan: SoakPlan, tell: (line: string) => void): Promise<Soaked> {
  const folder = mkdtempSync(join(tmpdir(), 'soak-'));
  chmodSync(folder, 0o755);
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  installPrograms(programs);
  const receiver = await Receiver.start();
  const cages = new Cages();
  const hotplug = plan.hotplug ? new Hotplug() : undefined;
  const inspector = await freePort();
  process.env.NODE_OPTIONS = `--inspect=127.0.0.1:${inspector} --expose-gc`;
  const agent = await startAgent(folder, {
    profile: { interval: `${plan.intervalSeconds}s` },
    // Full within the first quarter.
    viewer: {
      listen: '127.0.0.1:0',
      retention: `${Math.ceil(plan.seconds / 8)}s`,
      max_bytes: '16MiB',
    },
    exporters: [
      {
        otlp: {
          name: EXPORTER,
          endpoint: receiver.url,
          protocol: 'http/protobuf',
          queue: { directory: join(folder, 'queue') },
          timeout: '5s',
          retry: { initial: '1s', max: '5s' },
        },
      },
    ],
  });
  delete process.env.NODE_OPTIONS;
  const heaps = await Heaps.connect(inspector);
  const readings = new Readings();
  let death: string | undefined;
  let queued = Number.NaN;
  try {
    const loads = new OrdinaryLoads(cages, programs, folder, plan.seconds + 60);
    const churn = new Churn(cages, programs, folder, plan.renewSeconds + 30);
    const started = startTicks(agent.pid);
    await disturb(plan, agent, { receiver, churn, hotplug, heaps, readings, tell });
    if (startTicks(agent.pid) !== started) death = 'another process has its pid';
    await cages.stopAll();
    loads.clean();
    hotplug?.set(true);
    await receiver.become('well');
    queued = await drained(agent);
  } catch (error) {
    death = agent.ended() ?? (error as Error).message;
    await cages.stopAll();
  }
  sweepMaps();
  heaps.close();
  const exitCode = await agent.stop();
  await receiver.close();
  writeFileSync(
    join(tmpdir(), 'soak-agent.log'),
    agent.log.map((line) => JSON.stringify(line)).join('\n'),
  );
  rmSync(folder, { recursive: true, force: true });
  const errors = agent.log.filter(({ level }) => level >= 50).map(({ msg }) => msg);
  return {
    series: readings.series,
    readingSeconds: plan.readingSeconds,
    taken: sumOfProfiles(agent.log, 'taken'),
    exported: sumOfProfiles(agent.log, 'exported'),
    arrived: receiver.samples,
    arrivedTaken: receiver.taken,
    lost: receiver.lost,
    queued,
    requests: receiver.requests,
    repeated: receiver.repeated,
    exitCode,
    death,
    errors: [...new Set(errors)],
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Disturbances {
  readonly receiver: Receiver;
  readonly churn: Churn;
  readonly hotplug: Hotplug | undefined;
  readonly heaps: Heaps;
  readonly readings: Readings;
  readonly tell: (line: string) => void;
}

async function disturb(
  plan: SoakPlan,
  { pid, url }: RunningAgent,
  { receiver, churn, hotplug, heaps, readings, tell }: Disturbances,
): Promise<void> {
  const began = performance.now();
  const elapsed = (): number => (performance.now() - began) / 1000;
  let [moods, renewals] = [-1, -1];
  for (let reading = 0; elapsed() < plan.seconds; ) {
    const mood = Math.floor(elapsed() / plan.moodSeconds);
    if (mood !== moods) {
      moods = mood;
      await flap(receiver, mood);
      hotplug?.set(mood % 2 === 0);
    }
    const renewal = Math.floor(elapsed() / plan.renewSeconds);
    if (renewal !== renewals) {
      renewals = renewal;
      await churn.renew();
    }
    if (elapsed() >= reading * plan.readingSeconds) {
      reading++;
      readings.add('resident', 'MiB', residentBytes(pid));
      for (const [name, bytes] of await heaps.used()) readings.add(`heap: ${name}`, 'MiB', bytes);
      readings.add('BPF maps', 'MiB', mapMemory(pid));
      readings.add('descriptors', '', descriptorCount(pid));
      const last = readings.series.map(({ values }) => values.at(-1)!.toFixed(0));
      tell(
        `${elapsed().toFixed(0)} s: ${last.join(' / ')}; backend ${receiver.mood}, ${receiver.samples} arrived; ${url}`,
      );
    }
    await pause(250);
  }
}

/** Waits until the queue is empty. @returns requests in it at the end */
async function drained({ url }: RunningAgent): Promise<number> {
  const end = performance.now() + DRAIN_SECONDS * 1000;
  for (;;) {
    const families = parseExposition(await (await fetch(`${url}metrics`)).text());
    const size = sampleValue(families, 'flametap_exporter_queue_size', `{exporter="${EXPORTER}"}`);
    if (size === 0 || performance.now() > end) return size;
    await pause(500);
  }
}
