/** The output formats of `record`: their names, default files and encoders. */
import { encodeFlamegraph } from '../profile/flamegraph.ts';
import { encodeFolded, type FoldedOptions } from '../profile/folded.ts';
import { encodeJson } from '../profile/json.ts';
import type { Profile } from '../profile/model.ts';
import { encodeOtlp } from '../profile/otlp.ts';
import { encodePprof } from '../profile/pprof.ts';

export interface Format {
  /** File in the current folder when no --output is given. */
  readonly file: string;
  /** Not for a terminal. */
  readonly binary: boolean;
  /** @returns pieces, to be written one after the other */
  readonly encode: (profile: Profile, options: FoldedOptions) => Iterable<Uint8Array | string>;
}

export const FORMAT_NAMES = ['pprof', 'folded', 'json', 'flamegraph', 'otlp'] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];

export const FORMATS: Readonly<Record<FormatName, Format>> = {
  pprof: { file: 'flametap.pb.gz', binary: true, encode: (profile) => [encodePprof(profile)] },
  folded: {
    file: 'flametap.folded',
    binary: false,
    encode: (profile, options) => encodeFolded(profile, options),
  },
  json: { file: 'flametap.json', binary: false, encode: encodeJson },
  flamegraph: {
    file: 'flametap.html',
    binary: false,
    encode: (profile) => [encodeFlamegraph(profile)],
  },
  otlp: { file: 'flametap.otlp', binary: true, encode: (profile) => [encodeOtlp(profile)] },
};
