/** Durations, sizes and numbers as people type and read them. */
import { readDuration, readSize } from '../config/quantity.ts';
import { type Bytes, bytes } from '../units/units.ts';
import { UsageError } from './errors.ts';

/** Milliseconds; a whole number of at least 1. */
export type Milliseconds = number;

/** A day: beyond it a profile says nothing, and timers overflow at 24.8 days. */
const LONGEST_MS = 24 * 3_600_000;

/** @throws UsageError unless `text` is like 500ms, 10s, 1m30s or 2h */
export function parseDuration(text: string): Milliseconds {
  const milliseconds = text === '0' ? undefined : readDuration(text);
  if (milliseconds === undefined)
    throw new UsageError(`'${text}' is not a duration: write 500ms, 10s, 2m or 1h`);
  if (milliseconds < 1 || milliseconds > LONGEST_MS)
    throw new UsageError(`'${text}' is out of range: from 1ms to 24h`);
  return milliseconds;
}

/** @throws UsageError unless `text` is like 64MiB, 512KiB, 1GB or a number of bytes */
export function parseSize(text: string): Bytes {
  const size = readSize(text);
  if (size === undefined)
    throw new UsageError(`'${text}' is not a size: write 64MiB, 512KiB or 1GB`);
  if (size < 1) throw new UsageError(`'${text}' is out of range: at least 1 byte`);
  return bytes(size);
}

/** @returns a parser of whole numbers between two limits, both allowed */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most))
      throw new UsageError(`'${text}' is not a whole number from ${least} to ${most}`);
    return value;
  };
}

/** @returns a parser that lets only these words pass */
export function oneOf<Word extends string>(words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new UsageError(`'${text}' is not one of ${words.join(', ')}`);
    return found;
  };
}

/** @returns 12,345 */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

/** @returns 9.8 s, 2 m 05 s or 350 ms */
export function formatDuration(milliseconds: Milliseconds): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`;
}

/** @returns 61.3 KiB */
export function formatSize(size: number): string {
  if (size < 1024) return `${size} B`;
  if (size < 1 << 20) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / (1 << 20)).toFixed(1)} MiB`;
}
