/** What a request is answered with. */
import type { OutgoingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array | string;
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
