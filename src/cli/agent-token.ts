/** The token of an agent, wherever this user may know it from. */
import { isLoopback } from '../viewer/address.ts';
import { readToken, tokenPaths, type Who, whoRuns } from '../viewer/token-file.ts';
import { TOKEN_VARIABLE } from './token-variable.ts';

/** @returns undefined when nobody tells it, or this user may not read it */
export function knownToken(
  agent: URL,
  given = process.env[TOKEN_VARIABLE],
  who: Who = whoRuns(),
): string | undefined {
  if (given !== undefined && given !== '') return given;
  // Only an agent of this machine has put it into a file; nobody else is to be told.
  if (!isLoopback(agent.hostname.replace(/^\[|\]$/g, ''))) return undefined;
  const port = Number(agent.port || (agent.protocol === 'https:' ? 443 : 80));
  for (const path of tokenPaths(port, who)) {
    try {
      return readToken(path);
    } catch {
      // Not there, or not for this user: the agent will say so.
    }
  }
  return undefined;
}

/** What to do without one. */
export const noToken = ({ origin }: URL): string =>
  `the agent at ${origin} lets in only root and the user it runs as: run sudo flametap view …, or set ${TOKEN_VARIABLE} to the agent's token`;
