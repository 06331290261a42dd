/** What `record` says while it samples: one living line on a terminal, few plain lines elsewhere. */
import type { Tally } from '../profile/model.ts';
import type { Terminal } from './command.ts';
import type { LiveCounts, Waiting } from './profiler-seam.ts';
import { formatCount, formatDuration, type Milliseconds } from './quantity.ts';

const LIVE_MS = 500;
const PLAIN_MS = 10_000;
/** Back to the line's beginning, and clear it. */
const REWRITE = '\r\u001b[2K';

function countsText(counts: LiveCounts): string {
  const { samples, lost, unresolved, processes } = counts;
  const texts = [`${formatCount(samples)} samples`, `${formatCount(lost)} lost`];
  if (unresolved !== undefined) texts.push(`${formatCount(unresolved)} frames without a name`);
  if (processes !== undefined) {
    texts.push(`${formatCount(processes)} ${processes === 1 ? 'process' : 'processes'}`);
  }
  return texts.join(', ');
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

/** @returns what became of the samples: 395 samples, none lost; 99.2 % of frames named */
export function tallyText(tally: Tally): string {
  const reasons = Object.entries(tally.lost).filter(([, count]) => count > 0);
  const list = reasons.map(([reason, count]) => `${reason} ${formatCount(count)}`).join(', ');
  const lost =
    reasons.length === 0 ? 'none lost' : `${formatCount(tally.taken)} taken, lost: ${list}`;
  const cut = Object.values(tally.truncated).reduce((sum, count) => sum + count, 0);
  const frames = tally.framesNamed + tally.framesUnnamed;
  return [
    `${formatCount(tally.exported)} ${tally.exported === 1 ? 'sample' : 'samples'}, ${lost}`,
    ...(frames > 0 ? [`${((tally.framesNamed / frames) * 100).toFixed(1)} % of frames named`] : []),
    ...(cut > 0 ? [`${formatCount(cut)} ${cut === 1 ? 'stack' : 'stacks'} not whole`] : []),
  ].join('; ');
}

/** @returns why there is no profile yet */
export function waitingText({ files, downloads }: Waiting): string {
  const reading = `reading debug information of ${files} ${files === 1 ? 'file' : 'files'}`;
  if (downloads === 0) return `${reading}; Ctrl-C: names without it`;
  return `${reading}, ${downloads} of them being downloaded (10 s at most); Ctrl-C: names without it`;
}

/**
 * Of processes that ended before they were looked into, as short ones do: stacks that
 * are not whole for it are counted as such, and nothing else is missing.
 */
const ENDED: ReadonlySet<string> = new Set([
  'process_gone',
  'process_context_gone',
  'process_environment_gone',
]);

/** What somebody may want to mend, of the problems of a profile. */
export function worrying(problems: Tally['problems']): [reason: string, count: number][] {
  return Object.entries(problems).filter(([reason, count]) => count > 0 && !ENDED.has(reason));
}

/**
 * What somebody should know of the time of a profile. A late timer is left out: on machines
 * that share their CPUs with others it is an everyday matter, which metrics and tally show.
 */
export function unusualTimes(timingMs: Tally['timingMs']): [reason: string, ms: number][] {
  return Object.entries(timingMs).filter(([reason, ms]) => ms > 0 && reason !== 'late_timer');
}

/** @returns what was unusual about the time, undefined when nothing was */
export function timingText({ timingMs }: Tally): string | undefined {
  const reasons = unusualTimes(timingMs);
  if (reasons.length === 0) return undefined;
  const list = reasons.map(([reason, ms]) => `${reason} ${formatDuration(ms)}`).join(', ');
  return `time without samples, or by which the clock was set: ${list}`;
}

/** @returns what was refused of files, undefined when nothing was */
export function problemsText({ problems }: Tally): string | undefined {
  const reasons = worrying(problems);
  if (reasons.length === 0) return undefined;
  const list = reasons.map(([reason, count]) => `${reason} ${formatCount(count)}`).join(', ');
  return `names or callers may be missing: ${list}`;
}
