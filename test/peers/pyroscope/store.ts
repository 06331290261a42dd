/** What Pyroscope keeps of pushed profiles, and what compaction does to it. */
import type { PushedProfile } from './pushed-profile.ts';
import { ID_KEYS, type Labels, labelText } from './rules.ts';

interface Row {
  readonly type: string;
  readonly labels: Labels;
  readonly timeNs: bigint;
  readonly samples: readonly {
    readonly stack: readonly string[];
    readonly value: number;
    readonly ids: Labels;
  }[];
}

export interface Query {
  /** `name:type:unit:periodType:periodUnit` */
  readonly type: string;
  readonly labels: Labels;
  readonly spans: readonly string[];
  readonly traces: readonly string[];
}

export class Store {
  #rows: Row[] = [];

  /** One series for each combination of texts of samples, and each type of values (run). */
  add(profile: PushedProfile, labels: Labels, nowNs: bigint): void {
    const timeNs = profile.timeNs > 0n ? profile.timeNs : nowNs;
    const { period } = profile;
    profile.types.forEach(({ type, unit }, column) => {
      const id = `${labels.get('__name__')}:${type}:${unit}:${period.type}:${period.unit}`;
      for (const [series, samples] of bySeries(profile, labels)) {
        const kept = samples
          .map(({ stack, values, labels: own }) => ({
            stack,
            value: values[column]!,
            ids: new Map([...own].filter(([key]) => ID_KEYS.has(key))),
          }))
          .filter(({ value }) => value > 0);
        if (kept.length === 0) continue;
        this.#rows.push({
          type: id,
          labels: series,
          timeNs,
          samples: kept,
        });
      }
    });
  }

  /**
   * Of rows of one series and time the first stays (run: after some 40 s three different
   * profiles of one time were one, three with a nanosecond between them were three; three of
   * one request stayed three at first, and half an hour later one of two was left). The server
   * compares only what it compacts together: what is sent again later may count
   * twice for half an hour and longer (run).
   */
  compact(): void {
    const kept = new Set<string>();
    this.#rows = this.#rows.filter(({ type, labels, timeNs }) => {
      const key = `${type} ${labelText(labels)} ${timeNs}`;
      return !kept.has(key) && kept.add(key);
    });
  }

  /** Values by stack, leaf first. */
  stacks({
    type,
    labels,
    spans,
    traces,
  }: Query): Map<string, { stack: readonly string[]; value: number }> {
    const sums = new Map<string, { stack: readonly string[]; value: number }>();
    for (const row of this.#rows) {
      if (row.type !== type || ![...labels].every(([k, v]) => row.labels.get(k) === v)) continue;
      for (const { stack, value, ids } of row.samples) {
        if (spans.length > 0 && !spans.includes(ids.get('span_id') ?? '')) continue;
        if (traces.length > 0 && !traces.includes(ids.get('trace_id') ?? '')) continue;
        // A stack without frames counts for nothing (run).
        if (stack.length === 0) continue;
        const key = JSON.stringify(stack);
        sums.set(key, { stack, value: value + (sums.get(key)?.value ?? 0) });
      }
    }
    return sums;
  }

  types(): string[] {
    return [...new Set(this.#rows.map(({ type }) => type))].sort();
  }

  /** Labels of all series, with those that the server adds (run). */
  series(): Labels[] {
    const all = this.#rows.map(({ type, labels }) => {
      const [, sampleType, unit, periodType, periodUnit] = type.split(':');
      return new Map([
        ...labels,
        ['__profile_type__', type],
        ['__type__', sampleType!],
        ['__unit__', unit!],
        ['__period_type__', periodType!],
        ['__period_unit__', periodUnit!],
        ['__service_name__', labels.get('service_name')!],
      ]);
    });
    return [...new Map(all.map((labels) => [labelText(labels), labels])).values()];
  }
}

/** A series' own label hides that of a sample; empty ones are none (run, code). */
function bySeries(profile: PushedProfile, labels: Labels): [Labels, PushedProfile['samples']][] {
  const groups = new Map<string, [Labels, PushedProfile['samples'][number][]]>();
  // (run) `__delta__` counts when labels are checked, and is then gone.
  const own = [...labels].filter(([name, value]) => value !== '' && name !== '__delta__');
  for (const sample of profile.samples) {
    const more = [...sample.labels].filter(([key]) => !ID_KEYS.has(key) && !labels.get(key));
    const series = new Map([...own, ...more]);
    const key = labelText(series);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [series, [sample]]);
    else group[1].push(sample);
  }
  return [...groups.values()];
}

/** All label sets that a pushed series becomes. */
export function seriesOfPushed(profile: PushedProfile, labels: Labels): Labels[] {
  return bySeries(profile, labels).map(([series]) => series);
}
