/** Durations and sizes as people write them: `1m30s`, `512MiB`. Printed, they read as the same number. */

const DURATION_UNITS = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
const SIZE_UNITS = {
  GiB: 2 ** 30,
  MiB: 2 ** 20,
  KiB: 2 ** 10,
  GB: 1e9,
  MB: 1e6,
  KB: 1e3,
  B: 1,
} as const;

const DURATION =
  /^(?=\d)(?:(\d{1,9}(?:\.\d{1,3})?)h)?(?:(\d{1,9}(?:\.\d{1,3})?)m)?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,9}(?:\.\d{1,3})?)ms)?$/;
const SIZE = /^(\d{1,15}(?:\.\d{1,3})?)(GiB|MiB|KiB|GB|MB|KB|B|)$/;

/** @returns milliseconds, a whole number; undefined unless `text` is like 500ms, 10s, 1.5m, 1h30m or 0 */
export function readDuration(text: string): number | undefined {
  if (text === '0') return 0;
  const match = DURATION.exec(text);
  if (!match) return undefined;
  return Object.values(DURATION_UNITS).reduce(
    (sum, unit, i) => sum + Math.round(Number(match[i + 1] ?? 0) * unit),
    0,
  );
}

/** @returns bytes, a whole number; undefined unless `text` is like 64MiB, 512KiB, 1GB or a number of bytes */
export function readSize(text: string): number | undefined {
  const match = SIZE.exec(text);
  if (!match) return undefined;
  const unit = SIZE_UNITS[(match[2] || 'B') as keyof typeof SIZE_UNITS];
  const size = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(size) ? size : undefined;
}

/** @returns 1m30s */
export function durationText(milliseconds: number): string {
  let rest = milliseconds;
  const parts = Object.entries(DURATION_UNITS).map(([name, unit]) => {
    const count = Math.floor(rest / unit);
    rest -= count * unit;
    return count === 0 ? '' : `${count}${name}`;
  });
  return parts.join('') || '0';
}

/** @returns 512MiB, 1500KB or 1001: in the largest unit that it is a whole number of */
export function sizeText(size: number): string {
  const unit = Object.entries(SIZE_UNITS).find(([, bytes]) => size >= bytes && size % bytes === 0);
  return unit && unit[1] > 1 ? `${size / unit[1]}${unit[0]}` : String(size);
}
