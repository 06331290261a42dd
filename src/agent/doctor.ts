/** The doctor: what this machine allows, what is missing, and what mends it. */
import { type Check, check, missing, ok } from './doctor-check.ts';
import { checkKernel } from './doctor-kernel.ts';
import { checkLoad } from './doctor-load.ts';
import type { Machine } from './doctor-machine.ts';
import { checkPrivileges } from './doctor-privileges.ts';

export interface Diagnosis {
  /** Profiling can work. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

export async function diagnose(machine: Machine): Promise<Diagnosis> {
  const checks = [...checkKernel(machine), ...checkPrivileges(machine), ...checkLoad(machine)];
  const able = checks.every((one) => one.state !== 'missing');
  // A trial on a machine that cannot only repeats the reason in worse words.
  const trial = able ? [check('trial', 'Trial', await tryOut(machine))] : [];
  const all = [...checks, ...trial];
  return { ok: all.every((one) => one.state !== 'missing'), checks: all };
}

async function tryOut(machine: Machine) {
  const problem = await machine.trySampling();
  return problem === ''
    ? ok('sampled this process')
    : missing(
        problem,
        'if a seccomp or security policy denies it, allow bpf and perf_event_open; else report this text',
      );
}
