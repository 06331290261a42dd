/** What is kept of the past, asked by the addresses of the API; of a thread of its own, or here. */
import { flameTreeJson } from '../profile/flame-tree.ts';
import { type Answer, failure, json } from './answer.ts';
import type { PackedAnswer } from './history-messages.ts';
import { packed } from './packing.ts';
import type { PageTemplate } from './page-file.ts';
import { parseQuery, QueryError, SELECTING } from './query.ts';
import { answerRequest, isRequestPath } from './request-routes.ts';
import type { ProfileStore } from './store.ts';

export interface History {
  /** Grows with every change: at equal versions an address has equal answers. */
  readonly version: number;
  /** @param address path and parameters. @throws HistoryError when nobody can answer now */
  ask(address: string): Promise<PackedAnswer>;
}

/** Nobody can answer at this moment; later somebody can. */
export class HistoryError extends Error {
  override readonly name = 'HistoryError';
}

/** Paths that `answerFrom` knows. */
export const isHistoryPath = (path: string): boolean =>
  path === '/api/flame' ||
  path === '/api/processes' ||
  path === '/api/status' ||
  isRequestPath(path);

/** @param address with a path that `isHistoryPath`. @param page read when a form needs it */
export function answerFrom(store: ProfileStore, address: string, page: () => PageTemplate): Answer {
  const url = new URL(address, 'http://viewer.invalid');
  try {
    switch (url.pathname) {
      case '/api/flame': {
        const query = parseQuery(url.searchParams, [...SELECTING, 'kernel']);
        const body = flameTreeJson(store.flame(query));
        return { status: 200, type: 'application/json', body };
      }
      case '/api/processes': {
        const { seconds } = parseQuery(url.searchParams, ['seconds']);
        return json(store.processes(seconds));
      }
      case '/api/status': {
        parseQuery(url.searchParams, []);
        const { version, profiles, newestMs, bytes } = store;
        return json({ version, profiles, newestMs, storeBytes: bytes, tally: store.tally() });
      }
    }
    return answerRequest(url, { store, page });
  } catch (error) {
    if (error instanceof QueryError) return failure(400, error.message);
    throw error;
  }
}

/** Of a store in this thread: for files, whose page has one reader. */
export const localHistory = (store: ProfileStore, page: () => PageTemplate): History => ({
  get version() {
    return store.version;
  },
  ask: async (address) => packed(answerFrom(store, address, page)),
});
