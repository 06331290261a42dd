/** Pyroscope's push API as a destination: pprof by series. */

import type { Profile } from '../profile/model.ts';
import { encodePprofMessage } from '../profile/pprof.ts';
import { halvesOfPprof } from './pprof-halves.ts';
import { decodePush, encodePush, type PushedSeries, pushedBytes } from './push-message.ts';
import { PushTransport, type PushTransportSettings, pushAddress } from './push-transport.ts';
import { type Series, seriesOf } from './series.ts';
import type { SeriesOptions } from './series-labels.ts';
import type { Destination } from './transport.ts';

/** What Pyroscope takes with its own defaults. */
export const PUSH_LIMITS: PushLimits = {
  // A tenant may send 2 MB at once (`-distributor.ingestion-burst-size-mb`): more in one series
  // is refused however often it is sent. Counted are uncompressed profiles and their labels.
  requestBytes: 1_500_000,
  // `-validation.max-profile-size-bytes`.
  profileBytes: 4 * 2 ** 20,
  // `-validation.max-profile-stacktrace-samples`.
  samples: 16_000,
  // It takes longer for more than the usual timeout allows: 1 s for 200, 4 s for 1000.
  series: 200,
};

export interface PushLimits {
  /** Of a request before compression. */
  readonly requestBytes: number;
  /** Of a profile before compression. */
  readonly profileBytes: number;
  /** Of a profile. */
  readonly samples: number;
  /** Of a request. */
  readonly series: number;
}

export interface PyroscopeSettings extends PushTransportSettings {
  readonly name: string;
  readonly series: SeriesOptions;
  readonly limits: PushLimits;
}

export function pyroscopeDestination(settings: PyroscopeSettings): Destination {
  return {
    name: settings.name,
    kind: 'pyroscope',
    address: pushAddress(settings.endpoint),
    encode: (profile) => encodeRequests(profile, settings.series, settings.limits),
    split: splitPush,
    transport: new PushTransport(settings),
  };
}

/** The same profile gives the same requests, so that what arrives twice counts once. */
export function* encodeRequests(
  profile: Profile,
  options: SeriesOptions,
  limits: PushLimits,
): Generator<Uint8Array> {
  let waiting: PushedSeries[] = [];
  let bytes = 0;
  for (const series of seriesOf(profile, options)) {
    for (const one of encodeSeries(series, limits)) {
      const more = pushedBytes(one);
      if (waiting.length === limits.series || bytes + more > limits.requestBytes) {
        if (waiting.length > 0) yield encodePush(waiting);
        waiting = [];
        bytes = 0;
      }
      waiting.push(one);
      bytes += more;
    }
  }
  if (waiting.length > 0) yield encodePush(waiting);
}

function* encodeSeries(
  series: Series,
  limits: PushLimits,
  first = 0,
  end = series.length,
): Generator<PushedSeries> {
  const count = end - first;
  if (count <= limits.samples) {
    const profile = encodePprofMessage(series.part(first, end), 'series');
    const pushed = { labels: series.labels, profile };
    if (count === 1 || pushedBytes(pushed) <= Math.min(limits.requestBytes, limits.profileBytes)) {
      yield pushed;
      return;
    }
  }
  const middle = first + Math.ceil(count / 2);
  yield* encodeSeries(series, limits, first, middle);
  yield* encodeSeries(series, limits, middle, end);
}

/** Halves of the series of a request, or of the samples of its only one. */
export function splitPush(request: Uint8Array): readonly Uint8Array[] | undefined {
  const series = decodePush(request);
  if (series.length > 1) {
    const middle = Math.ceil(series.length / 2);
    return [encodePush(series.slice(0, middle)), encodePush(series.slice(middle))];
  }
  const only = series[0];
  const halves = only && halvesOfPprof(only.profile);
  return halves?.map((profile) => encodePush([{ labels: only!.labels, profile }]));
}
