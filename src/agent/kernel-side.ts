/** Loads the BPF programs, and says what it means when the machine refuses. */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '../capture/addon.ts';
import { cgroupScope } from '../capture/cgroup.ts';
import { LiveCapture } from '../capture/live.ts';
import type { ProfilerOptions } from '../cli/profiler-seam.ts';
import { idKeys, type WantedKey } from '../context/wanted-keys.ts';
import { thisMachine } from './doctor-machine.ts';
import { MachineError } from './machine-error.ts';
import { refusal } from './refusal.ts';

/** 512 KiB hold 20 deferred samples of a drain interval at 99 Hz and as much again. */
export const RING_BYTES = 512 << 10;
const TABLE_BYTES = 6 << 20;
/** Loading takes 0.1 s; whatever interrupts it for so long will not stop. */
const LOADING_MS = 15_000;
const PAUSE_MS = 100;

/** @throws MachineError when this machine does not allow it */
export async function openKernelSide(
  options: ProfilerOptions,
  wanted: readonly WantedKey[],
): Promise<LiveCapture> {
  const { scope } = options;
  const addon = loadAddon();
  const cgroup = scope.cgroupPath === undefined ? undefined : cgroupScope(scope.cgroupPath);
  try {
    return await patiently(
      () =>
        new LiveCapture(addon, {
          hz: options.hz,
          maxDepth: options.maxDepth,
          kernelStacks: options.kernelStacks,
          pids: scope.pids,
          followChildren: scope.followChildren,
          comm: scope.comm,
          cgroup,
          excluded: {
            pids: scope.exclude?.pids ?? [],
            comms: scope.exclude?.comms ?? [],
            cgroups: (scope.exclude?.cgroupPaths ?? []).map(cgroupScope),
          },
          ringBytes: options.ringBytes ?? RING_BYTES,
          tableBytes: TABLE_BYTES,
          copyEverySample: options.copyEverySample ?? false,
          wantedKeys: wanted.map(({ key }) => key),
          idKeys: idKeys(wanted),
        }),
    );
  } catch (cause) {
    throw explained(cause);
  }
}

/**
 * What is interrupted is tried again for a while. The addon keeps signals away from the
 * verifier; a stopped or traced process can still be interrupted in it.
 * @param limitMs for all attempts together
 */
export async function patiently<Result>(
  load: () => Result,
  limitMs = LOADING_MS,
  pauseMs = PAUSE_MS,
): Promise<Result> {
  for (const end = performance.now() + limitMs; ; ) {
    try {
      return load();
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code !== 'EAGAIN' && code !== 'EINTR') throw cause;
      if (performance.now() >= end) {
        const said = message.split('\n', 1)[0];
        throw new MachineError(
          `the kernel was interrupted while it checked the BPF programs, again and again for ${limitMs / 1000} s (${said}); end what sends signals to this process, such as a profiler or a debugger, and start it again`,
          'kernel',
        );
      }
    }
    await sleep(pauseMs);
  }
}

/** What a failure of the kernel side means on this machine. */
export function explained(cause: unknown): unknown {
  return refusal(
    cause,
    thisMachine('/', async () => ''),
  );
}
