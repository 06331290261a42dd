/** The header by which servers say when to come back (RFC 9110 §10.2.3). */

/**
 * Milliseconds that a Retry-After asks for: whole seconds, or an HTTP date.
 * @returns undefined for anything else
 */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = dateOf(text);
  return date === undefined ? undefined : Math.max(0, date - now);
}

/**
 * When an answer was made, by the clock that the dates in it are of: ours may have been set
 * to any time. @param date the header of that name. @param now milliseconds since 1970, by our clock
 */
export function answeredAt(date: string | undefined, now: number): number {
  return dateOf(date?.trim() ?? '') ?? now;
}

function dateOf(text: string): number | undefined {
  // Date.parse takes much more than HTTP does.
  if (!/^[A-Z][a-z]{2,8},? .* GMT$/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : date;
}
