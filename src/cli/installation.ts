/** Where this installation lives: the same for sources and for the bundle. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * @param from folder of the running module
 * @returns nearest folder upwards that holds package.json
 */
export function findRoot(from: string): string {
  let folder = from;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) return from;
    folder = parent;
  }
  return folder;
}

/** @param root folder with package.json */
export function versionOf(root: string): string {
  const found: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return found && typeof found === 'object' && 'version' in found ? String(found.version) : '';
}
