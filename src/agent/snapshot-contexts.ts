/** Notes what processes say of themselves, and says it again. */
import type { Answer, ContextSource, Publication } from '../context/context-source.ts';
import type { OtelVariables } from '../context/process-environment.ts';
import type { Identity } from '../process/process.ts';
import { processAddress } from '../units/units.ts';
import type { ContextSnapshot, Snapshot } from './messages.ts';

/** Passes on to a live source and reports every answer that a replay needs. */
export class RecordingContexts implements ContextSource {
  readonly #live: ContextSource;
  readonly #report: (snapshot: Snapshot) => void;

  constructor(live: ContextSource, report: (snapshot: Snapshot) => void) {
    this.#live = live;
    this.#report = report;
  }

  publication(identity: Identity): Answer<Publication> {
    const answer = this.#live.publication(identity);
    this.#note('context', identity, answer, ({ payload }) =>
      Buffer.from(payload).toString('base64'),
    );
    return answer;
  }

  isCurrent(identity: Identity, known: Publication): boolean {
    return this.#live.isCurrent(identity, known);
  }

  environment(identity: Identity): Answer<OtelVariables> {
    const answer = this.#live.environment(identity);
    this.#note('environment', identity, answer, JSON.stringify);
    return answer;
  }

  /** What could not be read takes the place of nothing. */
  #note<Found>(
    kind: ContextSnapshot['kind'],
    { pid, execId, startNs }: Identity,
    answer: Answer<Found>,
    write: (found: Found) => string,
  ): void {
    if ('reason' in answer) return;
    const { found, readAt } = answer;
    const text = found === undefined ? '' : write(found);
    this.#report({ kind, pid, execId, started: startNs, readAt, text });
  }
}

/** Answers from a recording: each process says all the time what it said last. */
export class ReplayContexts implements ContextSource {
  readonly #last = new Map<string, ContextSnapshot>();

  constructor(snapshots: readonly Snapshot[]) {
    for (const snapshot of snapshots) {
      if (snapshot.kind === 'maps') continue;
      const { kind, pid, execId, started } = snapshot;
      this.#last.set(`${kind} ${pid} ${execId} ${started}`, snapshot);
    }
  }

  publication(identity: Identity): Answer<Publication> {
    return this.#answer('context', identity, (text) => ({
      place: processAddress(0),
      publishedAt: 1n,
      payload: Buffer.from(text, 'base64'),
    }));
  }

  isCurrent(): boolean {
    return true;
  }

  environment(identity: Identity): Answer<OtelVariables> {
    return this.#answer('environment', identity, parseVariables);
  }

  #answer<Found>(
    kind: ContextSnapshot['kind'],
    { pid, execId, startNs }: Identity,
    read: (text: string) => Found | undefined,
  ): Answer<Found> {
    const snapshot = this.#last.get(`${kind} ${pid} ${execId} ${startNs}`);
    if (!snapshot || snapshot.text === '') return { found: undefined, readAt: 0 };
    return { found: read(snapshot.text), readAt: snapshot.readAt };
  }
}

/** Undefined for what no recording of ours holds. */
function parseVariables(text: string): OtelVariables | undefined {
  try {
    const { serviceName, resourceAttributes } = Object(JSON.parse(text));
    return { serviceName: String(serviceName), resourceAttributes: String(resourceAttributes) };
  } catch {
    return undefined;
  }
}
