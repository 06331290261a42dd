/** Every key that the agent obeys: type, default, unit, meaning. */
import type { ExporterConfig } from './exporter-schema.ts';
import {
  address,
  duration,
  oneOf,
  path,
  size,
  text,
  trueOrFalse,
  webAddress,
  wholeNumber,
} from './kind.ts';
import { LABELS, labelName } from './label-name.ts';
import { list, section, single, table, type ValueOf } from './setting.ts';

const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value));

/** As bpf/process.h tells processes apart; a comm has 15 bytes. */
const scopeMember = text(
  'pid=NUMBER, comm=NAME (at most 15 bytes) or cgroup=FOLDER, a path below /sys/fs/cgroup',
  (value) => {
    const [, kind, what = ''] = /^(pid|comm|cgroup)=(.+)$/.exec(value) ?? [];
    if (kind === 'pid') return /^[1-9]\d{0,6}$/.test(what) && Number(what) <= 4_194_304;
    if (kind === 'comm') return Buffer.byteLength(what) <= 15;
    return kind === 'cgroup' && what.startsWith('/');
  },
);

const attributeName = text('an attribute name', (name) => name.length > 0 && name.length <= 1024);
/** Longer ones are refused by receivers. */
const attributeValue = text(
  'a text of at most 2048 bytes',
  (value) => Buffer.byteLength(value) <= 2048,
);

export const schema = section('', {
  capture: section('Sampling', {
    hz: single(wholeNumber(1, 10_000), 99, 'samples per second and CPU'),
    kernel_stacks: single(trueOrFalse, true, 'whether stacks have their frames in the kernel'),
    max_depth: single(wholeNumber(1, 1024), 1024, 'user frames of a stack at most'),
    ring_bytes_per_cpu: single(
      size('128KiB', '8MiB', 'a power of two', isPowerOfTwo),
      512 * 2 ** 10,
      'memory for samples on their way out of the kernel, for each CPU',
    ),
    scope: section('What is sampled', {
      include: list(
        scopeMember,
        [],
        'empty: the whole machine; any number of pid (with the processes they start), one comm, one cgroup; where several are given, all must be true',
        { pairs: true },
      ),
      exclude: list(
        scopeMember,
        [],
        'left out of that: any number of pid (with the processes they start), comm, and up to 8 cgroups',
        { pairs: true },
      ),
    }),
  }),
  symbols: section('Names from debug information', {
    debuginfod_urls: list(
      webAddress,
      [],
      'servers to ask for what is not on the machine; also $DEBUGINFOD_URLS',
    ),
    cache_dir: single(
      path('flametap/debuginfo in $XDG_CACHE_HOME, or in ~/.cache'),
      '',
      'where downloads are kept',
    ),
    max_cache_bytes: single(size('1MiB', '1024GiB'), 2 ** 30, 'of all downloads that are kept'),
  }),
  profile: section('What a profile is', {
    interval: single(duration('1ms', '24h'), 10_000, 'a new profile this often'),
    labels: list(
      labelName,
      LABELS.filter((label) => label !== 'thread'),
      'what samples of one stack are told apart by',
    ),
    max_label_sets: single(
      wholeNumber(1, 1_000_000),
      16_384,
      'combinations of labels in a profile; samples of further ones are counted as labels_overflow and have none',
    ),
    max_label_bytes: single(
      size('64KiB', '1GiB'),
      8 * 2 ** 20,
      'of the labels of a profile; likewise',
    ),
  }),
  resource: section('Attributes of what is exported', {
    attributes: table(
      attributeName,
      attributeValue,
      'added to every resource; also $OTEL_RESOURCE_ATTRIBUTES and $OTEL_SERVICE_NAME',
    ),
  }),
  viewer: section('The page', {
    listen: single(
      address,
      '127.0.0.1:7099',
      'where it is served; an address that others can reach needs $FLAMETAP_TOKEN or token_file',
    ),
    access: single(
      oneOf('token', 'local'),
      'token',
      'on loopback, who may look: who has the token (root and the user of the agent find it by themselves), or everybody on this machine',
    ),
    token_file: single(
      path('one that is made at each start; see docs/configuration.md'),
      '',
      'holds the token, at least 16 characters; read at the start',
    ),
    retention: single(duration('1s', '24h'), 3_600_000, 'how far back it can look'),
    max_bytes: single(size('1MiB', '64GiB'), 64 * 2 ** 20, 'memory for kept profiles'),
  }),
  log: section('Log on standard error', {
    level: single(
      oneOf('trace', 'debug', 'info', 'warn', 'error'),
      'info',
      'this and what is worse',
    ),
  }),
});

/** The configuration, with values from all sources. Durations in milliseconds, sizes in bytes. */
export type Config = ValueOf<typeof schema> & { readonly exporters: readonly ExporterConfig[] };

/** Planned keys whose feature is not built: told apart from misspelt ones. */
export const PLANNED: ReadonlySet<string> = new Set([
  'capture.event',
  'off_cpu',
  'profile.timestamps',
  'resource.kubernetes',
  'resource.containers',
  'transform',
  'limits',
  'opamp',
]);
/** Planned values, by key. */
export const PLANNED_VALUES: Readonly<Record<string, RegExp>> = {
  'capture.scope.include': /^(exe|container|namespace|service)=/,
  'capture.scope.exclude': /^(exe|container|namespace|service)=/,
};
