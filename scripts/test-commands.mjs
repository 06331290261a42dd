/**
 * The commands that tests find in PATH: those that packages.json names and those that
 * every system has. A test that calls another one fails on every machine, not only
 * where that one happens to be absent.
 */
import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from './system-packages.mjs';

/**
 * @param {string} file packages.json
 * @param {string[]} lists
 * @returns {string[]} without repeats
 */
export function namedCommands(file, lists) {
  const all = JSON.parse(readFileSync(file, 'utf8'));
  const packages = lists.flatMap((list) => all[list]);
  const named = packages.flatMap(({ command, also = [] }) =>
    command === undefined ? also : [command, ...also],
  );
  return [...new Set([...named, ...all.base.commands])];
}

/**
 * Leaves build/commands with a link for each of them that this machine has.
 * @param {string} root
 */
export function linkCommands(root) {
  const folder = join(root, 'build/commands');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of namedCommands(join(root, 'scripts/packages.json'), ['build', 'test'])) {
    const found = findCommand(name);
    if (found !== undefined) symlinkSync(found, join(folder, name));
  }
}
