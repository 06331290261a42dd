/** The npm packages: exactly what the lockfile says. Plain Node 20, no dependencies. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, say } from './say.mjs';

/**
 * No install script runs: none is needed (setup.test.mjs lists them with reasons),
 * and one that ran would run as root.
 */
const INSTALL = [
  'ci',
  '--ignore-scripts',
  '--include=dev',
  '--include=optional',
  '--no-audit',
  '--no-fund',
  '--loglevel=error',
];

/** @param {string} file */
function readLock(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  } catch {
    return undefined;
  }
}

/**
 * Whether node_modules holds what the lockfile asks for, and nothing else. npm writes
 * what it installed to node_modules/.package-lock.json; optional packages of other
 * platforms are in the lockfile only.
 * @param {string} root
 */
export function modulesAreCurrent(root) {
  const wanted = readLock(join(root, 'package-lock.json'));
  const present = readLock(join(root, 'node_modules/.package-lock.json'));
  if (!wanted || !present) return false;
  if (Object.keys(present).some((path) => !(path in wanted))) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const installed = present[path];
    if (!installed) return entry.optional === true;
    const isThere = existsSync(join(root, path, 'package.json'));
    return (
      isThere && installed.version === entry.version && installed.integrity === entry.integrity
    );
  });
}

/**
 * @param {string} root
 * @throws SetupError when npm fails, as without the network, for a package that does not
 *   have the hash that the lockfile names, or when package.json asks for something else.
 */
export function ensureModules(root) {
  if (modulesAreCurrent(root)) return;
  say('installing npm packages (npm ci)');
  const result = spawnSync('npm', INSTALL, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (result.error) throw new SetupError(`npm does not start: ${result.error.message}`);
  if (result.status !== 0)
    throw new SetupError(
      'npm ci failed; see above. The first start needs the network. After a change of ' +
        'package.json, `npm install --package-lock-only` brings the lockfile up to date.',
    );
}
