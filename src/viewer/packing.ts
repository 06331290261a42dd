/** Bodies of answers as bytes, compressed piece by piece: a huge text is never there whole. */
import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import { type Answer, type Body, bytesOf, failure } from './answer.ts';
import type { PackedAnswer } from './history-messages.ts';

/** Smaller ones gain nothing. */
const LEAST_PACKED = 1_024;
/** Characters; more than a browser can show. */
const MOST_TEXT = 512 * 2 ** 20;
/** Of what is compressed in itself, such as pprof. */
const DENSE = 'application/octet-stream';

export async function packed(answer: Answer, mostText = MOST_TEXT): Promise<PackedAnswer> {
  const { status, type, headers = {}, body } = answer;
  const isSmall = 'length' in Object(body) && (body as Uint8Array | string).length < LEAST_PACKED;
  if (isSmall || type === DENSE) {
    return { status, type, headers, body: Uint8Array.from(bytesOf(body)), isPacked: false };
  }
  const pieces = await compressed(body, mostText);
  if (pieces !== undefined) return { status, type, headers, body: joined(pieces), isPacked: true };
  const most = `${mostText / 2 ** 20} MiB`;
  const words = `the answer is larger than ${most}: ask for less time, one service or one process`;
  return packed(failure(413, words));
}

/** Undefined when it is too much. */
async function compressed(body: Body, most: number): Promise<Buffer[] | undefined> {
  // Level 1 halves the time of 6 for a tenth more bytes; most readers are on this machine.
  const gzip = createGzip({ level: 1 });
  const out: Buffer[] = [];
  gzip.on('data', (piece: Buffer) => out.push(piece));
  const ended = once(gzip, 'end');
  let length = 0;
  const pieces = typeof body === 'object' && 'pieces' in body ? body.pieces : [body];
  for (const piece of pieces) {
    length += piece.length;
    if (length > most) {
      ended.catch(() => undefined);
      gzip.destroy();
      return undefined;
    }
    if (!gzip.write(piece)) await once(gzip, 'drain');
  }
  gzip.end();
  await ended;
  return out;
}

/** In memory of its own, which can be handed to another thread. */
function joined(pieces: readonly Buffer[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
