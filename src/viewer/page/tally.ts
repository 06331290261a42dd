/** The honest line at the foot: what was sampled, lost, cut and left without a name. */
import { make } from './dom.ts';
import { formatCount, formatDuration, formatPercent, reasonWords, sum } from './text.ts';
import type { Tree } from './tree.ts';

/** What a live agent adds; all optional. */
export interface AgentFacts {
  readonly [fact: string]: string;
}

function part(line: HTMLElement, number: string, words: string, tone = ''): void {
  const item = make('span', tone);
  item.append(make('b', tone, number), ` ${words}`);
  line.append(item);
}

export function showStatusLine(line: HTMLElement, tree: Tree, shown: number): void {
  const { tally } = tree;
  line.replaceChildren();
  const all = tree.total[0]!;
  const words =
    shown < all
      ? `of ${formatCount(all)} samples shown`
      : all < tally.exported
        ? `of ${formatCount(tally.exported)} samples in that time`
        : all === 1
          ? 'sample'
          : 'samples';
  part(line, formatCount(shown), words);
  if (tree.periodNs > 0) {
    part(line, formatDuration(shown * tree.periodNs), 'on CPU');
    part(line, (1e9 / tree.periodNs).toFixed(0), 'Hz');
  }
  const lost = sum(tally.lost);
  const cut = sum(tally.truncated);
  const taken = Math.max(tally.taken, all + lost);
  if (lost === 0) part(line, '0', 'lost');
  else part(line, formatCount(lost), `lost (${formatPercent(lost, taken)})`, 'bad');
  if (cut === 0) part(line, '0', 'stacks cut');
  else {
    const serious = cut / Math.max(1, tally.exported) > 0.01;
    const share = formatPercent(cut, Math.max(1, tally.exported));
    part(line, formatCount(cut), `stacks cut (${share})`, serious ? 'warn' : '');
  }
  const frames = tally.framesNamed + tally.framesUnnamed;
  if (frames > 0) {
    const serious = tally.framesUnnamed / frames > 0.02;
    part(line, formatPercent(tally.framesNamed, frames), 'of frames named', serious ? 'warn' : '');
  }
}

export function showTally(element: HTMLElement, tree: Tree, agent: AgentFacts | null): void {
  const { tally } = tree;
  const children: HTMLElement[] = [];
  const section = (title: string, rows: readonly (readonly [string, string])[], empty: string) => {
    children.push(make('h2', '', title));
    if (rows.length === 0) {
      children.push(make('p', '', empty));
      return;
    }
    const table = make('table');
    for (const [name, value] of rows) {
      const row = table.insertRow();
      row.insertCell().textContent = name;
      row.insertCell().textContent = value;
    }
    children.push(table);
  };
  const reasons = (counts: Readonly<Record<string, number>>, all: number) =>
    Object.entries(counts)
      .filter(([, samples]) => samples > 0)
      .sort(([, a], [, b]) => b - a)
      .map(
        ([reason, samples]) =>
          [
            reasonWords(reason),
            `${formatCount(samples)} · ${formatPercent(samples, all)}`,
          ] as const,
      );
  const lost = sum(tally.lost);
  section(
    'Samples',
    [
      ['taken by the kernel side', formatCount(tally.taken)],
      ['in this profile', formatCount(tally.exported)],
      ['lost', formatCount(lost)],
    ],
    '',
  );
  const gap = tally.taken - tally.exported - lost;
  if (gap !== 0) {
    children.push(make('p', 'bad', `${formatCount(Math.abs(gap))} samples are not accounted for.`));
  }
  section('Lost, by reason', reasons(tally.lost, tally.taken), 'None.');
  section(
    'Stacks that do not reach their root',
    reasons(tally.truncated, tally.exported),
    'None: every stack is whole.',
  );
  section('Unwound in user space', reasons(tally.deferred, tally.exported), 'None.');
  const frames = tally.framesNamed + tally.framesUnnamed;
  section(
    'Names (frames weighted by samples)',
    frames === 0
      ? []
      : [
          ['with a name', formatPercent(tally.framesNamed, frames)],
          ['without', `${formatCount(tally.framesUnnamed)}`],
        ],
    'No frames.',
  );
  if (sum(tally.problems) > 0) {
    const rows = Object.entries(tally.problems).sort(([, a], [, b]) => b - a);
    section(
      'Refused in files that names come from',
      rows.map(([reason, count]) => [reasonWords(reason), formatCount(count)] as const),
      '',
    );
  }
  if (sum(tally.timingMs) > 0) {
    const rows = Object.entries(tally.timingMs).sort(([, a], [, b]) => b - a);
    section(
      'Unusual times',
      rows.map(
        ([reason, time]) => [reasonWords(reason), `${(time / 1_000).toFixed(3)} s`] as const,
      ),
      '',
    );
  }
  if (sum(tally.eventsLost) > 0) {
    section('Process events lost', reasons(tally.eventsLost, sum(tally.eventsLost)), '');
  }
  if (agent) section('Agent', Object.entries(agent), 'No facts.');
  element.replaceChildren(...children);
}
