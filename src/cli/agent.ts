/** `flametap agent`: profiles the machine until told to stop. */

import { LABELS } from '../config/label-name.ts';
import type { OptionValue } from '../config/load.ts';
import { schema } from '../config/schema.ts';
import type { Single as SingleKey } from '../config/setting.ts';
import { Agent } from './agent-run.ts';
import type { Command, Surroundings } from './command.ts';
import { configLoader, configOptions } from './config-options.ts';
import { CommandError, EXIT_DONE, UsageError } from './errors.ts';
import { EXIT_CODES, type Manual } from './manual.ts';
import { defaulted, flag, type ParsedLine, parseLine, text } from './options.ts';
import { TOKEN_VARIABLE } from './token-variable.ts';

/** After an error that nobody expected, for the last profile and its delivery. */
const LAST_WORK_MS = 15_000;

const { capture, profile, viewer } = schema.children;

/** An option that stands for a key: the schema says what it allows, so that is not asked here. */
const keyOption = <Value>(value: string, key: SingleKey<Value>, help: string) =>
  defaulted(value, (typed) => typed, String(key.kind.write(key.fallback)), help);

const options = {
  ...configOptions,
  hz: keyOption('N', capture.children.hz, 'samples per second and CPU, 1 to 10000'),
  threads: flag('tell threads apart by name'),
  'no-kernel': flag('no kernel frames'),
  listen: keyOption('HOST:PORT', viewer.children.listen, 'where the page is served'),
  interval: keyOption('TIME', profile.children.interval, 'a new profile this often'),
  retention: keyOption('TIME', viewer.children.retention, 'how far back the page can look'),
  memory: keyOption('SIZE', viewer.children.max_bytes, 'at most this much for kept profiles'),
  'write-pprof': text(
    'DIR',
    'also write each profile there as a pprof file; old ones are not removed',
  ),
};

/** Keys that options stand for. */
const KEYS = {
  hz: 'capture.hz',
  listen: 'viewer.listen',
  interval: 'profile.interval',
  retention: 'viewer.retention',
  memory: 'viewer.max_bytes',
} as const;
/** Keys and values that flags stand for. */
const FLAGS = {
  threads: ['profile.labels', LABELS.join(',')],
  'no-kernel': ['capture.kernel_stacks', 'false'],
} as const;

const manual: Manual = {
  usage: ['flametap agent [options]'],
  description: [
    'Profiles the whole machine until it gets SIGINT or SIGTERM. Keeps the profiles of the last hour in memory and serves a page with a live flame graph, per process; needs no backend. The configuration can name backends to send them to.',
    'With --config it follows the file: at SIGHUP and when the file changes it is read again and applied without a restart; a wrong one leaves what runs in force and is told in the log.',
    'At SIGTERM or SIGINT the last profile is made, and for up to 5 seconds what is queued is sent; the rest waits in the queues on disk for the next start. A second signal stops at once.',
    "The page's address also has /metrics (Prometheus), /healthz and /readyz.",
    'Logs go to standard error: readable on a terminal, JSON lines elsewhere.',
  ],
  options,
  sections: [
    {
      title: 'Environment',
      lines: [
        `${TOKEN_VARIABLE}  at least 16 characters that every request must carry;`,
        '                needed to listen on an address that others can reach',
        'DEBUGINFOD_URLS debuginfod servers, separated by spaces, that are asked for debug',
        '                information which this machine lacks; unset: nobody is asked',
        'FLAMETAP_…      any key of the configuration: FLAMETAP_CAPTURE_HZ for capture.hz',
        'OTEL_…          as OpenTelemetry has them; see docs/configuration.md',
      ],
    },
    EXIT_CODES,
  ],
  examples: [
    { does: 'look at the machine at http://127.0.0.1:7099', line: 'sudo flametap agent' },
    {
      does: 'another port, an hour of history',
      line: 'flametap agent --listen 127.0.0.1:8080 --retention 1h --memory 256MiB',
    },
    {
      does: 'from a file, one value changed',
      line: 'flametap agent --config flametap.yaml --set capture.hz=49',
    },
    {
      does: 'a pprof file every minute',
      line: 'flametap agent --interval 1m --write-pprof /var/tmp/profiles',
    },
  ],
};

/** What was typed, as values of keys. */
function optionValues({ given, values }: ParsedLine<typeof options>): OptionValue[] {
  const names = Object.keys(KEYS) as (keyof typeof KEYS)[];
  const flags = Object.keys(FLAGS) as (keyof typeof FLAGS)[];
  return [
    ...names.map((name) => ({ name, path: KEYS[name], text: values[name] })),
    ...flags.map((name) => ({ name, path: FLAGS[name][0], text: FLAGS[name][1] })),
  ]
    .filter(({ name }) => given.has(name))
    .map(({ name, ...value }) => ({ ...value, option: `--${name}` }));
}

async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const line = parseLine(options, args);
  const { values, words, command } = line;
  if (words.length > 0 || command)
    throw new UsageError(
      `agent takes no '${words[0] ?? '--'}'; to profile one command use flametap record -- CMD`,
    );
  const stopped = Promise.withResolvers<NodeJS.Signals>();
  const impatient = Promise.withResolvers<never>();
  const sources = {
    file: values.config,
    load: configLoader(values, optionValues(line)),
    writePprof: values['write-pprof'],
  };
  impatient.promise.catch(() => undefined);
  let agent: Agent | undefined;
  let count = 0;
  const unwatch = surroundings.onStopSignal((signal) => {
    // Without a file there is nothing to read again: then it is the terminal that has gone.
    if (signal === 'SIGHUP' && values.config !== undefined) {
      agent?.reload();
      return;
    }
    count += 1;
    if (count === 1) stopped.resolve(signal);
    else impatient.reject(new CommandError('stopped at once; the last profile is lost'));
  });
  let last: NodeJS.Timeout | undefined;
  const unguard = surroundings.onUncaught((error) => {
    // What is left in order delivers what there is; it may not be enough for that.
    last ??= setTimeout(() => impatient.reject(error), LAST_WORK_MS);
    if (agent) agent.fail(error);
    else impatient.reject(error);
  });
  try {
    agent = await Promise.race([
      Agent.create(surroundings, sources, stopped.promise),
      impatient.promise,
    ]);
    await Promise.race([agent.run(), impatient.promise]);
  } finally {
    clearTimeout(last);
    unguard();
    unwatch();
  }
  return EXIT_DONE;
}

export const agentCommand: Command = {
  name: 'agent',
  summary: 'profile the whole machine and serve a live flame graph',
  manual,
  run,
};
