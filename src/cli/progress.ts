/** What `record` says while it samples: one living line on a terminal, few plain lines elsewhere. */
import type { Terminal } from './command.ts';
import type { LiveCounts } from './profiler-seam.ts';
import { formatCount, formatDuration, type Milliseconds } from './quantity.ts';

const LIVE_MS = 500;
const PLAIN_MS = 10_000;
/** Back to the line's beginning, and clear it. */
const REWRITE = '\r\u001b[2K';

export function countsText(counts: LiveCounts): string {
  return [
    `${formatCount(counts.samples)} samples`,
    `${formatCount(counts.lost)} lost`,
    `${formatCount(counts.unresolved)} frames without a name`,
    `${formatCount(counts.processes)} ${counts.processes === 1 ? 'process' : 'processes'}`,
  ].join(', ');
}

/**
 * @param total how long it will take, undefined = until something ends
 * @returns stops it and takes the living line away
 */
export function showProgress(
  terminal: Terminal,
  counts: () => LiveCounts,
  total: Milliseconds | undefined,
): () => void {
  const start = performance.now();
  const line = (): string => {
    const elapsed = formatDuration(performance.now() - start);
    const of = total === undefined ? '' : ` of ${formatDuration(total)}`;
    return `${elapsed}${of}: ${countsText(counts())}`;
  };
  const show = () =>
    void terminal.write(terminal.isTTY ? `${REWRITE}${line()}` : `${line()}\n`).catch(() => {});
  const timer = setInterval(show, terminal.isTTY ? LIVE_MS : PLAIN_MS);
  return () => {
    clearInterval(timer);
    if (terminal.isTTY) void terminal.write(REWRITE).catch(() => {});
  };
}
