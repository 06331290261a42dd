/** Writes answers to sockets: no faster than a client reads, and not for longer than is fair. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { PackedAnswer } from './history-messages.ts';
import type { HeldAnswer } from './kept-answers.ts';

type Whole = Pick<PackedAnswer, 'status' | 'type' | 'headers'> & { readonly body: Uint8Array };

/** Of a client that reads one byte now and then, which is never idle. */
const LEAST_MS = 30_000;
/** A link slower than this is given up. */
const BYTES_PER_MS = 64;
/** What a socket takes at a time: other sockets have their turn in between. */
const PIECE = 64 * 1024;

/** @param policy for what a browser makes of it, unless the answer has its own */
export function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Whole,
  policy: string,
): void {
  if (response.destroyed || response.headersSent) return;
  limit(response, answer.body.length);
  response.writeHead(answer.status, {
    ...headersOf(request, answer, policy),
    ...(answer.status === 304 ? {} : { 'Content-Length': answer.body.length }),
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

/** Sends what is shared with others, and lets go of it at the end. */
export function sendHeld(
  request: IncomingMessage,
  response: ServerResponse,
  { answer, release }: HeldAnswer,
  { policy, etag }: { readonly policy: string; readonly etag?: string },
): void {
  if (response.destroyed) {
    release();
    return;
  }
  response.once('close', release);
  const { body, isPacked } = answer;
  const isUnpacked = isPacked && !/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  limit(response, body.length);
  response.writeHead(answer.status, {
    ...headersOf(request, answer, policy),
    ...(etag === undefined ? {} : { ETag: etag }),
    ...(isPacked ? { Vary: 'Accept-Encoding' } : {}),
    ...(isPacked && !isUnpacked ? { 'Content-Encoding': 'gzip' } : {}),
    ...(isUnpacked ? {} : { 'Content-Length': body.length }),
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const pieces = Readable.from(piecesOf(body), { objectMode: true, highWaterMark: 1 });
  const sent = isUnpacked
    ? pipeline(pieces, createGunzip({ chunkSize: PIECE }), response)
    : pipeline(pieces, response);
  // The client has gone, or was too slow.
  sent.catch(() => response.destroy());
}

function* piecesOf(body: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += PIECE) yield body.subarray(at, at + PIECE);
}

function limit(response: ServerResponse, bytes: number): void {
  const timer = setTimeout(() => response.destroy(), LEAST_MS + bytes / BYTES_PER_MS);
  response.once('close', () => clearTimeout(timer));
}

const headersOf = (
  request: IncomingMessage,
  { type, headers }: Pick<Whole, 'type' | 'headers'>,
  policy: string,
) => ({
  'Content-Type': type,
  'Cache-Control': 'no-store',
  'Content-Security-Policy': policy,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  // A body is never read: the connection ends instead of waiting for it.
  ...(hasBody(request) ? { Connection: 'close' } : {}),
  ...headers,
});

const hasBody = (request: IncomingMessage): boolean =>
  request.headers['content-length'] !== undefined ||
  request.headers['transfer-encoding'] !== undefined;
