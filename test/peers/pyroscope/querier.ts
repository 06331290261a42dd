/** Asks a Pyroscope, or the receiver that imitates one, what it has stored. */

export interface Selection {
  /** `{service_name="x"}` */
  readonly labels: string;
  readonly type?: string;
  readonly spans?: readonly string[];
  readonly traces?: readonly string[];
}

interface PprofJson {
  readonly sample?: readonly {
    readonly locationId?: readonly string[];
    readonly value: readonly string[];
  }[];
  readonly location?: readonly {
    readonly id: string;
    readonly line?: readonly { readonly functionId: string }[];
  }[];
  readonly function?: readonly { readonly id: string; readonly name?: string }[];
  readonly stringTable?: readonly string[];
}

export const CPU = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds';
const HOUR_MS = 3_600_000;

export class Querier {
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: URL, headers: Readonly<Record<string, string>> = {}) {
    this.#url = url;
    this.#headers = headers;
  }

  /** Values by `leaf;…;root`. */
  async stacks({
    labels,
    type = CPU,
    spans = [],
    traces = [],
  }: Selection): Promise<Map<string, number>> {
    const answer = (await this.#ask('SelectMergeStacktraces', {
      profileTypeID: type,
      labelSelector: labels,
      ...(spans.length > 0 ? { spanSelector: spans } : {}),
      ...(traces.length > 0 ? { traceIdSelector: traces } : {}),
      format: 'PROFILE_FORMAT_PPROF',
    })) as { pprof?: { profile?: PprofJson } };
    const profile = answer.pprof?.profile ?? {};
    const names = new Map(
      profile.function?.map(({ id, name }) => [id, profile.stringTable?.[Number(name ?? 0)] ?? '']),
    );
    const frames = new Map(
      profile.location?.map(({ id, line }) => [id, line?.map((one) => names.get(one.functionId)!)]),
    );
    const sums = new Map<string, number>();
    for (const { locationId, value } of profile.sample ?? []) {
      const stack = (locationId ?? []).flatMap((id) => frames.get(id) ?? []).join(';');
      sums.set(stack, (sums.get(stack) ?? 0) + Number(value[0]));
    }
    return sums;
  }

  async total(labels: string): Promise<number> {
    let sum = 0;
    for (const value of (await this.stacks({ labels })).values()) sum += value;
    return sum;
  }

  async types(): Promise<string[]> {
    const { profileTypes = [] } = (await this.#ask('ProfileTypes', {})) as {
      profileTypes?: { ID: string }[];
    };
    return profileTypes.map(({ ID }) => ID);
  }

  async labelNames(): Promise<string[]> {
    return ((await this.#ask('LabelNames', {})) as { names?: string[] }).names ?? [];
  }

  async labelValues(name: string): Promise<string[]> {
    return ((await this.#ask('LabelValues', { name })) as { names?: string[] }).names ?? [];
  }

  async #ask(method: string, query: object): Promise<unknown> {
    const now = Date.now();
    const response = await fetch(new URL(`/querier.v1.QuerierService/${method}`, this.#url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.#headers },
      body: JSON.stringify({ start: now - HOUR_MS, end: now + HOUR_MS / 6, ...query }),
    });
    if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
