/** Words and numbers as people read them. */

/**
 * Characters that draw nothing or reorder what is around them (controls, bidi
 * overrides, zero width) become visible: a name cannot pretend to be another.
 */
export function printable(name: string): string {
  return name.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Longest text put into the document for one name; 64 KiB of template arguments help nobody. */
export const NAME_LIMIT = 2000;

export function cut(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });

export const formatCount = (value: number): string => whole.format(value);

export function formatPercent(part: number, all: number): string {
  if (!(all > 0)) return '0 %';
  const percent = (100 * part) / all;
  if (percent === 0) return '0 %';
  if (percent < 0.01) return '<0.01 %';
  if (percent >= 99.995) return '100 %';
  return `${percent.toFixed(percent < 10 ? 2 : 1)} %`;
}

export function formatDuration(ns: number): string {
  if (!(ns > 0)) return '0 s';
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(ns < 1e7 ? 1 : 0)} ms`;
  const seconds = ns / 1e9;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 'ring-full' and 'ring_full' read as 'ring full'. */
export const reasonWords = (reason: string): string => printable(reason).replaceAll(/[-_]/g, ' ');

export const sum = (values: Readonly<Record<string, number>>): number =>
  Object.values(values).reduce((all, value) => all + value, 0);

/** The path's last part, for narrow places. */
export function baseName(path: string): string {
  const trimmed = path.endsWith('/') ? path.slice(0, -1) : path;
  return trimmed.slice(trimmed.lastIndexOf('/') + 1);
}
