/** Serves a page, and says who finds its token: where it is, as which user, and once it is over. */
import { existsSync, statSync } from 'node:fs';
import { servePage } from './agent-page.ts';
import { knownToken } from './agent-token.ts';

const fail = (error: unknown): never => {
  throw error;
};

const page = await servePage(
  { listen: '127.0.0.1:0', access: 'token', tokenFile: '' },
  {
    history: { version: 0, ask: () => Promise.reject(new Error('nothing is kept')) },
    health: { live: { ok: true, words: 'sampling' }, ready: { ok: true, words: 'sampling' } },
    metrics: () => '',
    onError: fail,
    onFailure: fail,
  },
);
const { address, tokenFile, problem } = page;
const found = tokenFile === undefined ? undefined : statSync(tokenFile);
const isKnown = knownToken(address) === address.searchParams.get('token');
await page.close();
const isLeft = tokenFile !== undefined && existsSync(tokenFile);
const seen = {
  tokenFile,
  problem,
  uid: found?.uid,
  mode: found && found.mode & 0o777,
  isKnown,
  isLeft,
};
process.stdout.write(JSON.stringify(seen));
