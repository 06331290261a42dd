/** One queue over the lives of several agents, and a ledger of what became of each request. */
import assert from 'node:assert/strict';
import { Backend, DELIVERED, openExporter, profileOf } from './backend.test-support.ts';
import type { Exporter, ExporterStats } from './exporter.ts';
import { SimulatedClock, settled } from './simulated-clock.test-support.ts';
import { SimulatedDisk } from './simulated-disk.test-support.ts';
import type { Outcome } from './transport.ts';

const REQUEST_BYTES = 32;
/** With the header. */
const ENTRY_BYTES = 64;
const MEMORY_ENTRIES = 4;
/** A queue with more room than that is never full. */
export const MAX_STEPS = 60;
/** What a dead agent says of these is of its own death. */
const OF_DEATH = ['damaged', 'disk_error', 'shutdown'];

export class CrashWorld {
  readonly disk = new SimulatedDisk();
  readonly #capacity: number;
  #clock = new SimulatedClock();
  #backend!: Backend;
  #exporter!: Exporter;
  #answer: ((outcome: Outcome) => void) | undefined;
  /** By every agent's backend, in order. */
  readonly #received: number[] = [];
  #receivedBefore = 0;
  /** accept() returned. */
  readonly #accepted: number[] = [];
  #nextId = 0;
  /** On disk only, so far; a loss of power may take it. */
  #unsynced = new Set<number>();
  /** Perhaps in memory only. */
  #volatile = new Set<number>();
  readonly #excused = new Set<number>();
  #dropped = 0;
  #before!: ExporterStats;
  deaths = 0;
  #wasDiskBad = false;
  #lostPower = false;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#start();
  }

  /** Does something; when the agent dies of it, the next one starts. */
  async step(action: (world: CrashWorld) => void | Promise<void>): Promise<void> {
    this.#before = this.#exporter.stats();
    await action(this);
    await settled();
    if (this.disk.fuse <= 0) this.die();
    await settled();
    this.#check();
  }

  accept(): void {
    const id = this.#nextId++;
    this.#exporter.accept(profileOf(String(id).padStart(REQUEST_BYTES, '0')));
    if (this.disk.fuse <= 0) return;
    this.#accepted.push(id);
    if (!this.#isDiskBad) this.#volatile.clear();
    else this.#volatile.add(id);
    this.#unsynced.add(id);
  }

  answer(outcome: Outcome): void {
    this.#answer?.(outcome);
    this.#answer = undefined;
  }

  async wait(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    // File, names, position: a step of the event loop each.
    for (let i = 0; i < 4; i++) await settled();
    if (ms >= 2000 && !this.#isDiskBad && this.disk.fuse > 0)
      this.#unsynced = new Set(this.#volatile);
  }

  /** kill -9. */
  die(): void {
    this.deaths++;
    const { dropped, inFlight } = this.#exporter.stats();
    // What gave way in flight is counted by its outcome, which this agent never saw.
    if (this.#capacity <= MAX_STEPS) this.#dropped += inFlight;
    for (const [reason, count] of Object.entries(dropped)) {
      this.#dropped += OF_DEATH.includes(reason) ? (this.#before.dropped[reason] ?? 0) : count;
    }
    for (const id of this.#volatile) this.#excused.add(id);
    this.#start();
  }

  losePower(random: () => number): void {
    this.#lostPower = true;
    for (const id of this.#unsynced) this.#excused.add(id);
    this.disk.fuse = 0;
    this.disk.losePower(random);
    this.die();
  }

  /** SIGTERM, and the next agent. */
  async stop(): Promise<void> {
    const closing = this.#exporter.close(1000);
    await this.#clock.advance(1000);
    await closing;
    if (this.disk.fuse <= 0) return;
    this.#dropped += sum(this.#exporter.stats().dropped);
    if (!this.#isDiskBad) this.#unsynced.clear();
    this.#start();
  }

  setDisk(failure: string | undefined, capacity: number): void {
    this.disk.failure = failure;
    this.disk.capacity = this.disk.used + capacity;
    this.#wasDiskBad ||= this.#isDiskBad;
  }

  /** Everything works again: all that is there arrives. */
  async end(): Promise<void> {
    this.setDisk(undefined, Number.POSITIVE_INFINITY);
    this.disk.fuse = Number.POSITIVE_INFINITY;
    this.#backend.answer = (request) => {
      this.#received.push(Number(request));
      return DELIVERED;
    };
    this.answer(DELIVERED);
    await this.#clock.advance(120_000);
    this.#check();
    const { queueSize, breaker, dropped } = this.#exporter.stats();
    assert.deepEqual({ queueSize, breaker }, { queueSize: 0, breaker: 'closed' });
    this.#dropped += sum(dropped);
    await this.#exporter.close(0);
    const arrived = new Set(this.#received);
    assert.deepEqual([...arrived], [...arrived].sort(ascending), 'first arrivals are in order');
    const missing = this.#accepted.filter((id) => !arrived.has(id) && !this.#excused.has(id));
    assert.ok(missing.length <= this.#dropped, `missing ${missing}, dropped ${this.#dropped}`);
    const isNoted = !this.#lostPower && !this.#wasDiskBad;
    if (this.deaths === 0 && isNoted) assert.equal(missing.length, this.#dropped);
    const repeats = this.#received.length - arrived.size;
    if (isNoted) assert.ok(repeats <= this.deaths, `${repeats} repeats, ${this.deaths} deaths`);
  }

  #check(): void {
    const stats = this.#exporter.stats();
    const { recovered, accepted, split, sent, queueSize } = stats;
    const left = sent + sum(stats.dropped);
    assert.equal(recovered + accepted + split, left + queueSize, JSON.stringify(stats));
    assert.ok(stats.inFlight <= 1);
    assert.ok(stats.queueBytes <= (this.#capacity + MEMORY_ENTRIES) * ENTRY_BYTES, 'bounded');
    const life = this.#received.slice(this.#receivedBefore);
    assert.deepEqual(life, [...new Set(life)].sort(ascending), 'once and in order in one life');
  }

  get #isDiskBad(): boolean {
    return this.disk.failure !== undefined || this.disk.capacity !== Number.POSITIVE_INFINITY;
  }

  #start(): void {
    // A dead agent's timers never go off, and its backend hears nothing.
    this.#clock = new SimulatedClock(this.#clock.now());
    this.#answer = undefined;
    this.#receivedBefore = this.#received.length;
    this.#volatile = new Set();
    const folder = this.disk.mount();
    const backend = new Backend();
    this.#backend = backend;
    backend.answer = (request) =>
      new Promise((resolve) => {
        this.#answer = (outcome) => {
          if (outcome.kind === 'delivered') this.#received.push(Number(request));
          resolve(outcome);
        };
      });
    const queue = {
      directory: '/',
      maxBytes: this.#capacity * ENTRY_BYTES,
      maxAgeMs: 0,
      memoryBytes: MEMORY_ENTRIES * ENTRY_BYTES,
    };
    const settings = { queue, timeoutMs: 3_600_000 };
    this.#exporter = openExporter(
      backend,
      { clock: this.#clock, openFolder: () => folder },
      settings,
    );
    this.#before = this.#exporter.stats();
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
