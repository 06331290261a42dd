/** Separate debug files, which distributions install under /usr/lib/debug by build id. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { HostPid } from '../units/units.ts';
import type { ProcessHost } from './host.ts';

const BUILD_ID = /^([0-9a-f]{2})([0-9a-f]{6,})$/;

/**
 * Descriptor of the debug file of a build id: the process's own first, then
 * the host's. Undefined when there is none.
 */
export function openDebugFile(
  host: ProcessHost,
  pid: HostPid,
  buildId: string,
): number | undefined {
  const match = BUILD_ID.exec(buildId);
  if (!match) return undefined;
  const path = `/usr/lib/debug/.build-id/${match[1]}/${match[2]}.debug`;
  try {
    return host.openInRoot(pid, path);
  } catch {
    // No such file there, or the process is gone.
  }
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch {
    // Not on the host either.
  }
  return undefined;
}
