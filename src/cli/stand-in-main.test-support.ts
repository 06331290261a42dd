/**
 * The real commands over a profiler that samples nothing, so that tests see
 * what the commands do with it. FLAMETAP_STAND_IN chooses its behaviour.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { MachineError } from '../agent/machine-error.ts';
import type { Profile } from '../profile/model.ts';
import { bootTime, nanoseconds, unixTime } from '../units/units.ts';
import { agentCommand } from './agent.ts';
import { configCommand } from './config.ts';
import { dispatch } from './dispatch.ts';
import { doctorCommand } from './doctor.ts';
import { findRoot } from './installation.ts';
import type { Profiler, ProfilerOptions } from './profiler-seam.ts';
import { recordCommand } from './record.ts';
import { onStopSignal, onUncaught, terminal } from './terminal.ts';
import { viewCommand } from './view.ts';

const behaviour = process.env.FLAMETAP_STAND_IN ?? '';

/** One sample of `main` for each call. */
function profileOf(options: ProfilerOptions, count: number): Profile {
  return {
    startTime: unixTime(BigInt(Date.now()) * 1_000_000n),
    duration: nanoseconds(1e9),
    period: nanoseconds(1e9 / options.hz),
    mappings: ['', '/srv/app'].map((file) => ({
      start: 0,
      end: 0,
      fileOffset: 0,
      file,
      buildId: '',
      goBuildId: '',
    })),
    functions: [
      {
        name: 'main',
        shortName: 'main',
        systemName: 'main',
        file: '',
        startLine: 0,
        unnamed: false,
      },
    ],
    locations: [
      {
        mapping: 1,
        address: 1,
        type: behaviour === 'go' ? 'go' : 'native',
        lines: [{ function: 0, line: 0, column: 0 }],
      },
    ],
    stacks: [Uint32Array.of(0)],
    processes: [
      {
        pid: options.scope.pids[0] ?? 1,
        name: 'stand-in',
        executable: '',
        startNs: bootTime(0n),
        execId: 0,
      },
    ],
    threads: [''],
    labelSets: [[]],
    samples: {
      length: 1,
      process: Uint32Array.of(0),
      thread: Uint32Array.of(0),
      stack: Uint32Array.of(0),
      count: Uint32Array.of(count),
      labels: Uint32Array.of(0),
    },
    tally: {
      taken: count,
      exported: count,
      lost: {},
      truncated: {},
      deferred: {},
      framesNamed: count,
      framesUnnamed: 0,
      labelsLost: {},
      eventsLost: {},
      problems: {},
      timingMs: {},
    },
    host: '',
  };
}

async function startProfiler(options: ProfilerOptions): Promise<Profiler> {
  if (behaviour === 'machine') throw new MachineError('perf events are denied', 'perf');
  if (behaviour === 'bug') throw new TypeError('a bug');
  if (behaviour === 'print') process.stderr.write(`options ${JSON.stringify(options)}\n`);
  if (behaviour === 'throw')
    setTimeout(() => {
      throw new Error('nobody expected this');
    }, 100);
  if (behaviour === 'fail')
    setTimeout(() => options.onFailure?.(new Error('the rings are gone')), 100);
  if (behaviour === 'warn')
    process.emitWarning('a name is an address', { type: 'DeprecationWarning', code: 'DEP0123' });
  const stop = async () => {
    if (behaviour === 'slow') await wait(60_000);
    return profileOf(options, 7);
  };
  return {
    counts: () => ({ samples: 7, lost: 0, unresolved: 0, processes: 1 }),
    flush: stop,
    stop,
  };
}

process.exit(
  await dispatch(
    [agentCommand, recordCommand, viewCommand, configCommand, doctorCommand],
    process.argv.slice(2),
    findRoot(import.meta.dirname),
    {
      stdout: terminal(process.stdout),
      stderr: terminal(process.stderr),
      startProfiler,
      onStopSignal,
      onUncaught,
    },
  ),
);
