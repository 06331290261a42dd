/** The Go that tests build with: the system's, or one from the module proxy when that is too old. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, say } from './say.mjs';
import { findCommand } from './system-packages.mjs';

/** `go tool preprofile`; releases from 1.21 on fetch other releases by themselves. Debian 12 has 1.19. */
const GO_FLOOR = 23;
const TOOLCHAIN = 'golang.org/toolchain@v0.0.1-go1.26.0.linux-amd64';

/**
 * @param {string} go
 * @param {string[]} args
 * @param {string} cwd
 * @returns {string | undefined} what it printed
 */
function ask(go, args, cwd) {
  const result = spawnSync(go, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/**
 * @param {string} version `go1.26.8`
 * @returns {boolean}
 */
export function isRecentGo(version) {
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(major) > 1 || Number(minor) >= GO_FLOOR;
}

/**
 * Leaves the chosen release in build/go.
 * @param {string} root
 */
export function ensureGo(root) {
  const go = findCommand('go');
  if (!go) throw new SetupError('no command go, although its package is installed');
  const isRecent = isRecentGo(ask(go, ['env', 'GOVERSION'], root) ?? '');
  const home = isRecent ? ask(go, ['env', 'GOROOT'], root) : fetched(go, root);
  if (!home) throw new SetupError(`${go} does not answer; see above`);
  const link = join(root, 'build/go');
  mkdirSync(join(root, 'build'), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(home, link);
}

/**
 * @param {string} go
 * @param {string} root
 */
function fetched(go, root) {
  const answer = ask(go, ['mod', 'download', '-json', TOOLCHAIN], root);
  const home = answer && JSON.parse(answer).Dir;
  if (!home) {
    throw new SetupError(
      `the tests need Go 1.${GO_FLOOR} or newer: install it, or allow ${go} to fetch ${TOOLCHAIN}`,
    );
  }
  // Modules hold no executable files; Go itself mends that only from 1.21 on.
  const folders = [join(home, 'bin'), join(home, 'pkg/tool')];
  if (spawnSync('chmod', ['-R', 'a+x', ...folders]).status !== 0)
    throw new SetupError(`cannot make the commands in ${home} executable`);
  say(`tests use Go from ${TOOLCHAIN}`);
  return home;
}
