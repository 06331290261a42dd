/** The page of a running agent: who may look, and the address that lets them in. */
import type { Config } from '../config/schema.ts';
import { listenAddress, ViewerError } from '../viewer/address.ts';
import { ServerThread, type ServerThreadOptions } from '../viewer/server-thread.ts';
import {
  newToken,
  readToken,
  removeToken,
  tokenPath,
  whoRuns,
  writeToken,
} from '../viewer/token-file.ts';
import { CommandError, reasonOf } from './errors.ts';
import { TOKEN_VARIABLE } from './token-variable.ts';

type ViewerConfig = Pick<Config['viewer'], 'listen' | 'access' | 'tokenFile'>;

interface PageToken {
  /** Undefined: whoever reaches the page may look. */
  readonly token: string | undefined;
  /** It was made for this run: the agent hands it on. */
  readonly isOurs: boolean;
}

export interface Page {
  /** For a terminal with the token in it: whoever opens it is let in. */
  readonly address: URL;
  /** Where else the token is; undefined = nowhere, or there is none. */
  readonly tokenFile: string | undefined;
  /** The token could not be put where `flametap view` looks for it. */
  readonly problem: string | undefined;
  close(): Promise<void>;
}

/** @throws CommandError for a token file that cannot be read */
export function pageToken(viewer: ViewerConfig, given = process.env[TOKEN_VARIABLE]): PageToken {
  if (given !== undefined && given !== '') return { token: given, isOurs: false };
  if (viewer.tokenFile !== '') {
    try {
      return { token: readToken(viewer.tokenFile), isOurs: false };
    } catch (error) {
      throw new CommandError(`viewer.token_file: ${reasonOf(error)}`);
    }
  }
  // Others reach it, and could not know a token that is made here.
  const isOurs = viewer.access === 'token' && isOnLoopback(viewer.listen);
  return { token: isOurs ? newToken() : undefined, isOurs };
}

function isOnLoopback(listen: string): boolean {
  try {
    return listenAddress(listen).loopback;
  } catch (error) {
    if (error instanceof ViewerError) return false;
    throw error;
  }
}

/** @throws CommandError when the page cannot be served */
export async function servePage(
  config: ViewerConfig,
  options: Omit<ServerThreadOptions, 'listen' | 'token' | 'openMetrics'>,
): Promise<Page> {
  const { token, isOurs } = pageToken(config);
  let viewer: ServerThread;
  try {
    viewer = await ServerThread.start({
      ...options,
      listen: config.listen,
      // Counts that say nothing of anybody; a scraper runs as a user of its own.
      openMetrics: isOurs,
      ...(token === undefined ? {} : { token }),
    });
  } catch (error) {
    throw new CommandError(`viewer.listen: cannot serve the page: ${reasonOf(error)}`);
  }
  const address = new URL(viewer.url);
  if (token === undefined || !isOurs)
    return { address, tokenFile: undefined, problem: undefined, close: () => viewer.close() };
  address.searchParams.set('token', token);
  const { path, problem } = keep(viewer.port, token);
  return {
    address,
    tokenFile: path,
    problem,
    close: () => {
      if (path !== undefined) removeToken(path, token);
      return viewer.close();
    },
  };
}

function keep(port: number, token: string): { path?: string; problem?: string } {
  const path = tokenPath(port, whoRuns());
  if (path === undefined)
    return { problem: 'there is no folder for the token of the page: $XDG_RUNTIME_DIR is not set' };
  try {
    writeToken(path, token);
    return { path };
  } catch (error) {
    return { problem: `the token of the page cannot be kept in ${path}: ${reasonOf(error)}` };
  }
}
