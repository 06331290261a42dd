/** Parameters of the HTTP API, checked. */
import type { StoreQuery } from './store.ts';

export class QueryError extends Error {
  override readonly name = 'QueryError';
}

const LONGEST_WINDOW = 7 * 24 * 3_600;
const MOST_PROCESSES = 64;
const LONGEST_NAME = 256;

/** `seconds`, `process` (may repeat), `kernel` (0 or 1); those not in `allowed` are refused. */
export function parseQuery(params: URLSearchParams, allowed: readonly string[]): StoreQuery {
  for (const key of params.keys()) {
    if (!allowed.includes(key)) {
      throw new QueryError(
        `unknown parameter '${key.slice(0, 40)}'; known: ${allowed.join(', ') || 'none'}`,
      );
    }
  }
  const query: { seconds?: number; processes?: string[]; kernel?: boolean } = {};
  const seconds = params.get('seconds');
  if (seconds !== null) {
    const value = /^\d{1,6}$/.test(seconds) ? Number(seconds) : 0;
    if (value < 1 || value > LONGEST_WINDOW) {
      throw new QueryError(`seconds must be a whole number from 1 to ${LONGEST_WINDOW}`);
    }
    query.seconds = value;
  }
  const processes = params.getAll('process');
  if (processes.length > MOST_PROCESSES || processes.some((name) => name.length > LONGEST_NAME)) {
    throw new QueryError(
      `at most ${MOST_PROCESSES} processes of ${LONGEST_NAME} characters each can be asked for`,
    );
  }
  if (processes.length > 0) query.processes = processes;
  const kernel = params.get('kernel');
  if (kernel !== null) {
    if (kernel !== '0' && kernel !== '1') throw new QueryError('kernel must be 0 or 1');
    query.kernel = kernel === '1';
  }
  return query;
}
