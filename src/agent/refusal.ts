/** Tells failures that lie in the machine from our own, in words that say what to do. */
import { checkKernel } from './doctor-kernel.ts';
import type { Machine } from './doctor-machine.ts';
import { checkPrivileges } from './doctor-privileges.ts';
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
  if (found) {
    return new MachineError(`${found.title}: ${found.detail}; ${found.fix}`, found.id);
  }
  return PERMISSION.includes(code)
    ? new MachineError(`no permission: ${firstLine(message)}`, 'privileges')
    : new MachineError(`this kernel refuses: ${message}`, 'kernel');
}

const firstLine = (text: string): string => text.split('\n', 1)[0]!;
