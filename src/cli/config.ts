/** `flametap config`: checks the configuration, or shows what is in force. */
import { printConfig } from '../config/print.ts';
import { suggestion } from '../config/suggestion.ts';
import type { Command, Surroundings } from './command.ts';
import { configLoader, configOptions } from './config-options.ts';
import { EXIT_DONE, UsageError } from './errors.ts';
import { EXIT_CODES, type Manual } from './manual.ts';
import { parseLine } from './options.ts';

const ACTIONS = ['check', 'print'];

const manual: Manual = {
  usage: ['flametap config check [options]', 'flametap config print [options]'],
  description: [
    'check reads the configuration as the agent would, and tells everything that is wrong with it: place, key, and what is allowed. print shows the values in force as YAML, each with where it came from; passwords, tokens and headers are not shown.',
    'Later sources beat earlier ones: defaults, file, environment (FLAMETAP_CAPTURE_HZ for capture.hz, and OTEL_…), --set, options of the command.',
  ],
  options: configOptions,
  sections: [EXIT_CODES],
  examples: [
    {
      does: 'is the file right?',
      line: 'flametap config check --config flametap.yaml',
    },
    {
      does: 'what would the agent do, and why',
      line: 'FLAMETAP_CAPTURE_HZ=49 flametap config print --set viewer.retention=2h',
    },
  ],
};

async function run(args: readonly string[], { stdout, stderr }: Surroundings): Promise<number> {
  const { values, words, command } = parseLine(configOptions, args);
  const [action, ...more] = words;
  if (action === undefined || !ACTIONS.includes(action) || more.length > 0 || command) {
    const wrong = more[0] ?? action;
    const said = wrong === undefined ? 'needs an action' : `takes no '${wrong}'`;
    const guess = action === undefined ? '' : suggestion(action, ACTIONS);
    throw new UsageError(`config ${said}: write config check or config print${guess}`);
  }
  const loaded = configLoader(values)();
  for (const warning of loaded.warnings) await stderr.write(`flametap: ${warning}\n`);
  if (action === 'print') await stdout.write(printConfig(loaded));
  else await stderr.write(`flametap: ${values.config ?? 'the configuration'} is valid\n`);
  return EXIT_DONE;
}

export const configCommand: Command = {
  name: 'config',
  summary: 'check the configuration, or show the values in force',
  manual,
  run,
};
