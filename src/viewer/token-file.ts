/**
 * The token of a running agent as a file that only root and the agent's own user can read: whoever
 * can has the page. New at each start, removed at the end.
 */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder or the file is not what it should be: the message says what is wrong. */
export class TokenFileError extends Error {
  override readonly name = 'TokenFileError';
}

const TOKEN_BYTES = 24;
const MOST_BYTES = 1_024;
/** Only root can make anything in it. */
const OF_ROOT = '/run/flametap';

export const newToken = (): string => randomBytes(TOKEN_BYTES).toString('base64url');

export interface Who {
  readonly uid: number;
  /** $XDG_RUNTIME_DIR. */
  readonly runtimeFolder: string | undefined;
}

export const whoRuns = (): Who => ({
  uid: process.geteuid!(),
  runtimeFolder: process.env.XDG_RUNTIME_DIR,
});

/** Where the token of the agent at this port is; never in a folder that others can write to. */
export function tokenPath(port: number, { uid, runtimeFolder = '' }: Who): string | undefined {
  if (uid === 0) return join(OF_ROOT, `${port}.token`);
  return runtimeFolder.startsWith('/')
    ? join(runtimeFolder, 'flametap', `${port}.token`)
    : undefined;
}

/** Where an agent at this port may have put it: one of root, or one of one's own. */
export const tokenPaths = (port: number, who: Who): string[] =>
  [tokenPath(port, { ...who, uid: 0 }), tokenPath(port, { ...who, uid: who.uid || -1 })].filter(
    (path) => path !== undefined,
  );

/** @throws TokenFileError, or what the system says */
export function writeToken(path: string, token: string, uid = process.geteuid!()): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  checkFolder(folder, uid);
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const file = openSync(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    writeSync(file, `${token}\n`);
  } finally {
    closeSync(file);
  }
  chmodSync(draft, 0o600);
  // Whatever stood there, a link too, gives way and is not written to.
  renameSync(draft, path);
}

/** Others must not be able to put a file of theirs in its place. */
function checkFolder(folder: string, uid: number): void {
  const found = lstatSync(folder);
  if (!found.isDirectory()) throw new TokenFileError(`${folder} is not a folder`);
  if (found.uid !== uid) throw new TokenFileError(`${folder} belongs to user ${found.uid}`);
  if ((found.mode & 0o022) !== 0)
    throw new TokenFileError(`others can write to ${folder}: chmod go-w ${folder}`);
}

/** What the file says, without the end of its line. @throws what the system says, TokenFileError */
export function readToken(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = fstatSync(file);
    if (!found.isFile()) throw new TokenFileError(`${path} is not a file`);
    const bytes = Buffer.alloc(MOST_BYTES + 1);
    const length = readSync(file, bytes);
    if (length > MOST_BYTES) throw new TokenFileError(`${path} is longer than ${MOST_BYTES} bytes`);
    return bytes.subarray(0, length).toString().trim();
  } finally {
    closeSync(file);
  }
}

/** Only if it is still this token: another agent may have come since. */
export function removeToken(path: string, token: string): void {
  try {
    if (readToken(path) === token) rmSync(path);
  } catch {
    // It is gone, which is what was wanted.
  }
}
