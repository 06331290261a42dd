/** A profiler of this process's children in this process, and what its profiles say of them. */
import { LiveProfiler } from '../../src/agent/profiler.ts';
import type { Profile } from '../../src/profile/model.ts';

/** Small rings, which a storm of forks fills; user stacks only. */
export const profileChildren = (): Promise<LiveProfiler> =>
  LiveProfiler.start({
    hz: 99,
    scope: { pids: [], followChildren: true },
    threads: false,
    kernelStacks: false,
    maxDepth: 64,
    ringBytes: 128 << 10,
    steady: true,
  });

/** User frames of a row's stack, leaf first; `?` = without a name. */
export function userNames(profile: Profile, row: number): string[] {
  const stack = profile.stacks[profile.samples.stack[row]!]!;
  const names = Array.from(stack, (location) => {
    const { type, lines } = profile.locations[location]!;
    return type === 'kernel' ? '' : (lines[0] && profile.functions[lines[0].function]!.name) || '?';
  });
  return names.filter((name) => name !== '');
}
