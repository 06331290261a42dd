/** `flametap doctor`: what this machine allows. */
import { dirname } from 'node:path';
import { type Diagnosis, diagnose } from '../agent/doctor.ts';
import { thisMachine } from '../agent/doctor-machine.ts';
import type { Command, Surroundings } from './command.ts';
import { EXIT_DONE, EXIT_MACHINE, UsageError } from './errors.ts';
import { findRoot } from './installation.ts';
import { EXIT_CODES, type Manual } from './manual.ts';
import { flag, parseLine } from './options.ts';
import type { StartProfiler } from './profiler-seam.ts';
import { MAX_DEPTH } from './sampling-options.ts';

const options = { json: flag('one JSON object instead of text') };

const manual: Manual = {
  usage: ['flametap doctor [--json]'],
  description: [
    'Looks at the kernel, its types (BTF), perf events, BPF, capabilities, lockdown, namespaces, limits, memory and other profilers; then samples itself for a moment. Says for each what was found and what mends it.',
    'States: ok; warn = profiling works with less; missing = profiling cannot work.',
  ],
  options,
  sections: [
    EXIT_CODES,
    {
      title: 'JSON',
      lines: [
        '{"ok": boolean, "checks": [{"id", "title", "state": "ok|warn|missing", "detail", "fix"}]}',
      ],
    },
  ],
  examples: [
    { does: 'look', line: 'sudo flametap doctor' },
    {
      does: 'only what is not in order, in a script',
      line: 'flametap doctor --json | jq \'.checks[] | select(.state != "ok")\'',
    },
  ],
};

function diagnosisText({ ok, checks }: Diagnosis): string {
  const title = Math.max(...checks.map((one) => one.title.length));
  const lines = checks.flatMap((one) => [
    `${one.state.padEnd(7)}  ${one.title.padEnd(title)}  ${one.detail}`,
    ...(one.fix === '' ? [] : [`${' '.repeat(title + 11)}→ ${one.fix}`]),
  ]);
  const end = ok ? 'Profiling can work here.' : 'Profiling cannot work here: mend what is missing.';
  return `${lines.join('\n')}\n\n${end}\n`;
}

/** @returns '' when sampling works, else why not */
async function trySampling(startProfiler: StartProfiler): Promise<string> {
  try {
    const profiler = await startProfiler({
      hz: 99,
      scope: { pids: [process.pid], followChildren: false },
      threads: false,
      kernelStacks: true,
      maxDepth: MAX_DEPTH,
    });
    await profiler.stop();
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { values, words, command } = parseLine(options, args);
  if (words.length > 0 || command) throw new UsageError(`doctor takes no '${words[0] ?? '--'}'`);
  const machine = thisMachine(findRoot(dirname(import.meta.filename)), () =>
    trySampling(surroundings.startProfiler),
  );
  const diagnosis = await diagnose(machine);
  await surroundings.stdout.write(
    values.json ? `${JSON.stringify(diagnosis, null, 2)}\n` : diagnosisText(diagnosis),
  );
  return diagnosis.ok ? EXIT_DONE : EXIT_MACHINE;
}

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'what this machine allows, what is missing, and what mends it',
  manual,
  run,
};
