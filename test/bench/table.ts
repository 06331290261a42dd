/** The figures, as a table for people. */

export interface Figure {
  readonly what: string;
  readonly unit: string;
  /** Undefined when it could not be measured; `note` says why. */
  readonly ours?: number;
  /** The same quantity of the named peer, in the same run. */
  readonly peer?: number;
  readonly peerName?: string;
  /** Aims: `atMost`, or `atLeast` where more is better. */
  readonly atMost?: number;
  readonly atLeast?: number;
  readonly stretch?: number;
  readonly note?: string;
}

export function formatNumber(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** How a figure stands to its aims. */
export function verdict({ ours, atMost, atLeast, stretch }: Figure): string {
  const aim = atMost ?? atLeast;
  if (ours === undefined || aim === undefined) return '';
  const reaches = (limit: number): boolean =>
    atMost !== undefined ? ours <= limit : ours >= limit;
  if (stretch !== undefined && reaches(stretch)) return 'stretch';
  return reaches(aim) ? 'yes' : 'NO';
}

export function formatTable(figures: readonly Figure[]): string {
  const head = ['what', 'unit', 'ours', 'aim', 'stretch', 'reached', 'peer', 'ours/peer', 'note'];
  const rows = figures.map((figure) => {
    const { ours, peer, peerName } = figure;
    const aim = figure.atMost !== undefined ? `≤ ${formatNumber(figure.atMost)}` : '';
    const least = figure.atLeast !== undefined ? `≥ ${formatNumber(figure.atLeast)}` : '';
    return [
      figure.what,
      figure.unit,
      formatNumber(ours),
      aim || least,
      figure.stretch === undefined ? '' : formatNumber(figure.stretch),
      verdict(figure),
      peer === undefined ? '' : `${formatNumber(peer)} ${peerName ?? ''}`.trim(),
      peer && ours !== undefined ? (ours / peer).toFixed(2) : '',
      figure.note ?? '',
    ];
  });
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column >= 2 && column <= 4 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join(
    '\n',
  );
}

/** Least squares: y = fixed + slope * x. Undefined for fewer than two different x. */
export function fitLine(
  points: readonly { readonly x: number; readonly y: number }[],
): { fixed: number; slope: number } | undefined {
  const n = points.length;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / n;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / n;
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (n < 2 || spread === 0) return undefined;
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread;
  return { fixed: meanY - slope * meanX, slope };
}
