/** What tests do with a Pyroscope: the receiver that imitates one, or a real one, by PYROSCOPE_URL. */
import assert from 'node:assert/strict';
import { encodePush } from '../../../src/export/push-message.ts';
import {
  PUSH_LIMITS,
  type PyroscopeSettings,
  pyroscopeDestination,
} from '../../../src/export/pyroscope.ts';
import type { Destination, Outcome } from '../../../src/export/transport.ts';
import type { Profile } from '../../../src/profile/model.ts';
import { Querier } from './querier.ts';
import { PyroscopeReceiver } from './receiver.ts';
import { named, pprof, serviceOf } from './requests.ts';

export const signal = new AbortController().signal;
export const DELIVERED: Outcome = { kind: 'delivered', rejected: 0, message: '' };

/** Each request takes half a second of the imitation's time, however busy the machine is. */
const REQUEST_MS = 500;

interface Answer {
  readonly status: number;
  readonly text: string;
}

export class PyroscopeSession {
  readonly url: URL;
  readonly querier: Querier;
  readonly #imitation: PyroscopeReceiver | undefined;
  readonly #time: { now: number };

  private constructor(url: URL, imitation: PyroscopeReceiver | undefined, time: { now: number }) {
    this.url = url;
    this.querier = new Querier(url);
    this.#imitation = imitation;
    this.#time = time;
  }

  static async start(): Promise<PyroscopeSession> {
    const real = process.env.PYROSCOPE_URL;
    const time = { now: Date.now() };
    if (real !== undefined) return new PyroscopeSession(new URL(real), undefined, time);
    const imitation = await PyroscopeReceiver.start({ now: () => time.now });
    return new PyroscopeSession(imitation.url, imitation, time);
  }

  /** Its time passes for real, and what it stores is compacted when it likes. */
  get isReal(): boolean {
    return this.#imitation === undefined;
  }

  readonly close = async (): Promise<void> => this.#imitation?.close();

  readonly destination = (changes: Partial<PyroscopeSettings> = {}): Destination =>
    pyroscopeDestination({
      name: 'pyroscope',
      endpoint: this.url,
      tenant: '',
      auth: { kind: 'none' },
      headers: {},
      compression: 'gzip',
      timeoutMs: 10_000,
      now: Date.now,
      series: { pid: false, labels: {} },
      limits: PUSH_LIMITS,
      ...changes,
    });

  /** Time for a request that is about to be sent. */
  readonly pass = (): void => {
    this.#time.now += REQUEST_MS;
  };

  /** Sends all requests, dividing what is too large, as the queue does. */
  readonly deliver = async (
    to: Destination,
    requests: Iterable<Uint8Array>,
  ): Promise<Outcome[]> => {
    const outcomes: Outcome[] = [];
    for (const request of requests) {
      this.pass();
      const outcome = await to.transport.send(request, signal);
      const parts = outcome.kind === 'too_large' ? to.split(request) : undefined;
      if (parts === undefined) outcomes.push(outcome);
      else outcomes.push(...(await this.deliver(to, parts)));
    }
    return outcomes;
  };

  readonly send = async (
    profile: Profile,
    changes: Partial<PyroscopeSettings> = {},
  ): Promise<Outcome[]> => {
    const to = this.destination(changes);
    const outcomes = await this.deliver(to, to.encode(profile));
    to.transport.close();
    return outcomes;
  };

  readonly post = async (
    body: Uint8Array | string,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    this.pass();
    const answer = await fetch(new URL('/push.v1.PusherService/Push', this.url), {
      method: 'POST',
      headers: { 'content-type': 'application/proto', ...headers },
      body: Buffer.from(body),
    });
    assert.equal(answer.headers.get('retry-after'), null);
    return { status: answer.status, text: await answer.text() };
  };

  readonly postOtlp = async (
    body: Uint8Array,
    type = 'application/x-protobuf',
  ): Promise<Answer> => {
    this.pass();
    const answer = await fetch(new URL('/v1development/profiles', this.url), {
      method: 'POST',
      headers: { 'content-type': type },
      body: Buffer.from(body),
    });
    return { status: answer.status, text: await answer.text() };
  };

  /** A real one needs a minute; it has been at work when profiles of one time have become one. */
  readonly compaction = async (): Promise<void> => {
    if (this.#imitation !== undefined) {
      this.#imitation.compact();
      return;
    }
    const service = serviceOf('canary');
    const timeMs = Date.now();
    const canary = encodePush([{ labels: named(service), profile: pprof({ timeMs }) }]);
    for (let i = 0; i < 3; i++) await this.post(canary);
    for (let waited = 0; waited < 240; waited += 5) {
      if ((await this.querier.total(`{service_name="${service}"}`)) < 3000) return;
      await new Promise((resolve) => setTimeout(resolve, 5000));
      // Segments are compacted when there are some of them.
      await this.post(encodePush([{ labels: named(serviceOf('filler')), profile: pprof() }]));
    }
    throw new Error('no compaction within four minutes');
  };
}
