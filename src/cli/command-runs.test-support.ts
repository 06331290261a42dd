/** Runs the commands as they are, on a sampler that stands in, in a folder of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

const main = join(import.meta.dirname, 'stand-in-main.test-support.ts');
export const folder = mkdtempSync(join(tmpdir(), 'flametap-commands-'));
after(() => rmSync(folder, { recursive: true, force: true }));

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function start(
  args: readonly string[],
  standIn = '',
): { child: ChildProcess; ended: Promise<Ran> } {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FLAMETAP_STAND_IN: standIn },
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (data: string) => {
      texts[name] += data;
    });
  const ended = new Promise<Ran>((resolve) => {
    child.once('close', (code) => resolve({ code, ...texts }));
  });
  return { child, ended };
}

export const run = (args: readonly string[], standIn = '') => start(args, standIn).ended;

/** Resolves when the program has said something on a stream. */
export function said(
  child: ChildProcess,
  stream: 'stdout' | 'stderr',
  what: string,
): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    child[stream]?.on('data', (data: string) => {
      text += data;
      if (text.includes(what)) resolve();
    });
    child.once('close', () => reject(new Error(`never said '${what}': ${text}`)));
  });
}
