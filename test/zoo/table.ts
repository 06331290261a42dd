/** A verdict as a table that people read. */
import type { Row, Verdict } from './verdict.ts';

const SHOWN_REASONS = 4;

export function showVerdict({ rows, faults, taken, exported, lost }: Verdict): string {
  const head = [
    '',
    'CPU x',
    'at first',
    'memory',
    'samples',
    'lost',
    'verdict',
    'refused, by reason',
  ];
  const cells = [head, ...rows.map(cellsOf)];
  const widths = head.map((_, at) => Math.max(...cells.map((row) => row[at]!.length)));
  const lines = cells.map((row) =>
    row
      .map((cell, at) => (at > 0 && at < 5 ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd(),
  );
  const details = rows.flatMap(({ name, faults: own }) => own.map((fault) => `${name}: ${fault}`));
  return [
    ...lines,
    '',
    `${taken} samples taken = ${exported} exported + ${lost} lost`,
    ...details,
    ...faults,
    details.length + faults.length === 0
      ? 'all is well'
      : `${details.length + faults.length} faults`,
  ].join('\n');
}

function cellsOf(row: Row): string[] {
  const { name, cpuRatio, beginning, memoryDelta, samples, lost, problems, faults } = row;
  return [
    name,
    cpuRatio.toFixed(2),
    `${beginning.toFixed(1)} s`,
    `${memoryDelta < 0 ? '-' : '+'}${Math.abs(memoryDelta / 2 ** 20).toFixed(0)} MiB`,
    String(samples),
    reasons(lost),
    faults.length === 0 ? 'well' : 'FAULT',
    reasons(problems),
  ];
}

function reasons(counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .sort((a, b) => b[1] - a[1]);
  const shown = sorted.slice(0, SHOWN_REASONS).map(([reason, count]) => `${reason} ${count}`);
  if (sorted.length > SHOWN_REASONS) shown.push('…');
  return shown.join(', ') || '-';
}
