/** What the agent's configuration says of sampling, in the profiler's terms. */
import { cgroupScope } from '../capture/cgroup.ts';
import type { Config } from '../config/schema.ts';
import { CommandError, reasonOf } from './errors.ts';
import type { ProfilerOptions } from './profiler-seam.ts';

/** What the configuration says of sampling. */
export function profilerOptions(config: Config): ProfilerOptions {
  const { capture, profile, symbols } = config;
  const { include, exclude } = capture.scope;
  const [comm] = named(include, 'comm');
  const [cgroupPath] = named(include, 'cgroup');
  return {
    hz: capture.hz,
    scope: {
      pids: named(include, 'pid').map(Number),
      followChildren: true,
      ...(comm === undefined ? {} : { comm }),
      ...(cgroupPath === undefined ? {} : { cgroupPath }),
      exclude: {
        pids: named(exclude, 'pid').map(Number),
        comms: named(exclude, 'comm'),
        cgroupPaths: named(exclude, 'cgroup'),
      },
    },
    threads: profile.labels.includes('thread'),
    addresses: wantsAddresses(config),
    kernelStacks: capture.kernelStacks,
    maxDepth: capture.maxDepth,
    ringBytes: capture.ringBytesPerCpu,
    labels: profile.labels,
    labelLimits: { sets: profile.maxLabelSets, bytes: profile.maxLabelBytes },
    symbols,
    steady: true,
  };
}

/** What a list of `kind=what` has of a kind. */
const named = (members: readonly string[], kind: string): string[] =>
  members.filter((one) => one.startsWith(`${kind}=`)).map((one) => one.slice(kind.length + 1));

/** Whether an exporter takes addresses. Where none does, they do not even get into profiles. */
export const wantsAddresses = ({ exporters }: Config): boolean =>
  exporters.some(({ addresses }) => addresses);

/** Whether a change of this key takes sampling to begin anew. */
export const restartsSampling = (path: string): boolean =>
  path.startsWith('capture.') ||
  path.startsWith('symbols.') ||
  /^profile\.(labels|max_label_)/.test(path);

/** @throws CommandError when something to be sampled is not there */
export function checkTargets({ capture }: Config): void {
  for (const [list, members] of Object.entries(capture.scope)) {
    for (const path of named(members, 'cgroup')) {
      try {
        cgroupScope(path);
      } catch (error) {
        throw new CommandError(`capture.scope.${list}: ${reasonOf(error)}`);
      }
    }
  }
}
