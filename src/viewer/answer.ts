/** What a request is answered with. */
import type { OutgoingHttpHeaders } from 'node:http';

/** Whole, or as text that is made piece by piece and once. */
export type Body = Uint8Array | string | { readonly pieces: Iterable<string> };

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Body;
  readonly headers?: OutgoingHttpHeaders;
}

/** @param more what a program may want to know beside the words */
export const failure = (
  status: number,
  error: string,
  headers: OutgoingHttpHeaders = {},
  more: Readonly<Record<string, unknown>> = {},
): Answer => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify({ error, ...more })}\n`,
  headers,
});

export const json = (value: unknown): Answer => ({
  status: 200,
  type: 'application/json',
  body: JSON.stringify(value),
});

/** The body in one. */
export function bytesOf(body: Body): Uint8Array {
  if (typeof body === 'string') return Buffer.from(body);
  return 'pieces' in body ? Buffer.from([...body.pieces].join('')) : body;
}
