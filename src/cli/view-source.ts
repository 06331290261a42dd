/** Where `view` gets its answers: from a running agent, or from files, by the same addresses. */
import { open } from 'node:fs/promises';
import { readProfile } from '../profile/read-profile.ts';
import { ProfileFileError } from '../profile/rebuild.ts';
import { type Answer, bytesOf } from '../viewer/answer.ts';
import type { PageTemplate } from '../viewer/page-file.ts';
import { QueryError } from '../viewer/query.ts';
import { answerRequest } from '../viewer/request-routes.ts';
import { ProfileStore } from '../viewer/store.ts';
import { noToken } from './agent-token.ts';
import { CommandError, reasonOf } from './errors.ts';

export interface ViewSource {
  /** Of a page that shows the same. */
  readonly page: URL | undefined;
  /** That the page asks for. */
  readonly token?: string | undefined;
  /** @param path with its parameters. @throws CommandError with the words of what refused */
  get(path: string): Promise<Uint8Array>;
}

const ANSWER_MS = 60_000;
const MOST_FILE_BYTES = 2 ** 30;

export function agentSource(url: URL, token: string | undefined): ViewSource {
  return {
    page: url,
    token,
    async get(path) {
      let response: Response;
      try {
        response = await fetch(new URL(path, url), {
          headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
          signal: AbortSignal.timeout(ANSWER_MS),
        });
        const body = new Uint8Array(await response.arrayBuffer());
        if (response.ok) return body;
        throw new CommandError(refusal(response.status, body, url));
      } catch (error) {
        if (error instanceof CommandError) throw error;
        throw new CommandError(
          `no agent answers at ${url.origin} (${causeOf(error)}): start \`flametap agent\`, give its address with --agent, or name a FILE`,
        );
      }
    },
  };
}

function refusal(status: number, body: Uint8Array, url: URL): string {
  if (status === 401) return noToken(url);
  let words: unknown;
  try {
    words = (JSON.parse(new TextDecoder().decode(body)) as { error?: unknown }).error;
  } catch {
    // Another server than ours.
  }
  return typeof words === 'string' ? words : `${url.origin} answered ${status}: is it Flametap?`;
}

/** fetch() hides what happened. */
const causeOf = (error: unknown): string =>
  error instanceof Error && error.cause instanceof Error
    ? inWords(reasonOf(error.cause))
    : reasonOf(error);

const inWords = (reason: string): string =>
  reason.replace(/^connect ECONNREFUSED .*/, 'connection refused');

/** @throws CommandError for a file that cannot be read or is no profile */
export async function storeOf(files: readonly string[]): Promise<ProfileStore> {
  const store = new ProfileStore({
    maxBytes: Number.POSITIVE_INFINITY,
    retentionMs: Number.POSITIVE_INFINITY,
  });
  const profiles = [];
  for (const file of files) profiles.push(await readFile(file));
  // The store takes them as they come: in the order of time.
  profiles.sort((a, b) => Number(a.startTime - b.startTime));
  for (const profile of profiles) store.add(profile);
  return store;
}

async function readFile(file: string) {
  if (/^https?:/i.test(file)) {
    throw new CommandError(
      `${file} is an address, and FILE is a saved profile: for a running agent write \`flametap view --agent ${file}\``,
    );
  }
  try {
    const handle = await open(file, 'r');
    try {
      const found = await handle.stat();
      if (!found.isFile() && !found.isFIFO()) throw new CommandError(`${file} is no file`);
      if (found.size > MOST_FILE_BYTES) throw new CommandError(`${file} is larger than 1 GiB`);
      return readProfile(await handle.readFile());
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof ProfileFileError) {
      throw new CommandError(`${file} cannot be read as a profile: ${error.message}`);
    }
    if (error instanceof CommandError) throw error;
    throw new CommandError(`cannot read ${file}: ${reasonOf(error)}`);
  }
}

export function fileSource(store: ProfileStore, page: () => PageTemplate): ViewSource {
  return {
    page: undefined,
    async get(path) {
      let answer: Answer;
      try {
        answer = answerRequest(new URL(path, 'http://files.invalid'), { store, page });
      } catch (error) {
        if (error instanceof QueryError) throw new CommandError(error.message);
        throw error;
      }
      const { status } = answer;
      const bytes = bytesOf(answer.body);
      if (status === 200) return bytes;
      throw new CommandError(
        (JSON.parse(Buffer.from(bytes).toString()) as { error: string }).error,
      );
    },
  };
}
