/** What keeps the agent from sending profiles on until somebody mends it, of /api/status. */
import { formatCount } from './text.ts';

/** @returns one line for each exporter; '' when nothing is the matter */
export function faultText(status: unknown): string {
  const { agent } = (status ?? {}) as { agent?: { faults?: unknown } | null };
  const faults = agent?.faults;
  if (!Array.isArray(faults)) return '';
  return faults
    .flatMap((fault: unknown) => {
      const { exporter, message, waiting, sinceMs } = (fault ?? {}) as Record<string, unknown>;
      if (typeof exporter !== 'string' || typeof message !== 'string') return [];
      const since =
        typeof sinceMs === 'number' ? ` since ${new Date(sinceMs).toLocaleTimeString()}` : '';
      const count = typeof waiting === 'number' ? ` ${formatCount(waiting)} requests wait.` : '';
      return [`Exporter ${exporter}${since}: ${message}.${count}`];
    })
    .join('\n');
}
