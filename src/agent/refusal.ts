/** Tells failures that lie in the machine from our own, in words that say what to do. */
import type { Check } from './doctor-check.ts';
import { checkKernel } from './doctor-kernel.ts';
import type { Machine } from './doctor-machine.ts';
import { checkPidNamespace, checkPrivileges } from './doctor-privileges.ts';
import { MachineError } from './machine-error.ts';

/** Failures that a person with other privileges or another kernel would not have. */
const PERMISSION = ['EPERM', 'EACCES'];
const KERNEL = ['ESRCH', 'EINVAL', 'ENOTSUP', 'ENOSYS', 'E2BIG'];

/**
 * @param cause why loading or attaching failed; native errors carry `code`
 * @param machine where it failed
 * @returns a MachineError when the machine is the reason, else `cause` itself
 */
export function refusal(cause: unknown, machine: Machine): unknown {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOMEM') {
    return new MachineError(`out of memory: ${firstLine(message)}`, 'memory');
  }
  if (!PERMISSION.includes(code) && !KERNEL.includes(code)) return cause;
  // The kernel answers lockdown, missing types and missing capabilities with the
  // same few numbers and the verifier's text; the doctor knows what they stem from.
  const checks = [...checkKernel(machine), ...checkPrivileges(machine)];
  const found = checks.find((one) => one.state === 'missing');
  if (found) return inDoctorsWords(found);
  const perf = checks.find(({ id, state }) => id === 'perf' && state === 'warn');
  if (perf && code === 'EACCES') return inDoctorsWords(perf);
  return PERMISSION.includes(code)
    ? new MachineError(`no permission: ${firstLine(message)}`, 'privileges')
    : new MachineError(`this kernel refuses: ${message}`, 'kernel');
}

/**
 * What no call of the kernel refuses although no profile can come of it: samples carry
 * pids of the initial namespace, and nothing in another one's /proc belongs to them.
 * @throws MachineError
 */
export function refuseOtherPids(machine: Machine): void {
  const found = checkPidNamespace(machine);
  if (found.state === 'missing') throw inDoctorsWords(found);
}

const inDoctorsWords = ({ id, title, detail, fix }: Check): MachineError =>
  new MachineError(`${title}: ${detail}; ${fix}`, id);

const firstLine = (text: string): string => text.split('\n', 1)[0]!;
