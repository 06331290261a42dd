/** The forms that a profile can be downloaded in. */
import { encodeFlamegraph } from '../profile/flamegraph.ts';
import { encodeFolded } from '../profile/folded.ts';
import { encodeJson } from '../profile/json.ts';
import type { Profile } from '../profile/model.ts';
import { encodeOtlp } from '../profile/otlp.ts';
import { encodePprof } from '../profile/pprof.ts';
import type { Answer, Body } from './answer.ts';
import type { PageTemplate } from './page-file.ts';

interface Form {
  readonly type: string;
  /** Of the file that a browser makes of it. */
  readonly suffix: string;
  readonly encode: (profile: Profile, title: string, page: () => PageTemplate) => Body;
}

const pprof: Form = {
  type: 'application/octet-stream',
  suffix: 'pb.gz',
  encode: (profile) => encodePprof(profile),
};

/** By the end of the path, `profile.FORM`. */
const FORMS: ReadonlyMap<string, Form> = new Map([
  ['pprof', pprof],
  ['pb.gz', pprof],
  [
    'otlp',
    {
      type: 'application/x-protobuf',
      suffix: 'otlp',
      encode: (profile) => encodeOtlp(profile),
    },
  ],
  [
    'folded',
    {
      type: 'text/plain; charset=utf-8',
      suffix: 'folded',
      encode: (profile) => ({ pieces: encodeFolded(profile) }),
    },
  ],
  [
    'json',
    {
      type: 'application/json',
      suffix: 'json',
      encode: (profile) => ({ pieces: encodeJson(profile) }),
    },
  ],
  [
    'html',
    {
      type: 'text/html; charset=utf-8',
      suffix: 'html',
      encode: (profile, title, page) => encodeFlamegraph(profile, { title, page: page() }),
    },
  ],
]);

export const FORM_NAMES: readonly string[] = [...FORMS.keys()];

export const isForm = (form: string): boolean => FORMS.has(form);

/** @param name of the file, without its end; ASCII without quotes */
export function download(
  form: string,
  profile: Profile,
  name: string,
  page: () => PageTemplate,
): Answer {
  const { type, suffix, encode } = FORMS.get(form)!;
  return {
    status: 200,
    type,
    body: encode(profile, name, page),
    headers: { 'Content-Disposition': `attachment; filename="${name}.${suffix}"` },
  };
}
