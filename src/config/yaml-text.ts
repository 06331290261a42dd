/** Scalars as YAML text that reads as the same value. */
import { parse } from 'yaml';

/** Plain where that is the same text in every YAML, else in double quotes as in JSON. */
export function scalarText(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value);
  const isPlain = /^[A-Za-z0-9_/.][\w/.:@+=-]*$/.test(value) && !/:$/.test(value);
  return isPlain && parse(value) === value ? value : JSON.stringify(value);
}

export const listText = (items: readonly (string | number | boolean)[]): string =>
  `[${items.map(scalarText).join(', ')}]`;
