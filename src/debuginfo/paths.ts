/** Under which names debug files are looked for. */
import { dirname, join } from 'node:path';

const DEBUG_ROOT = '/usr/lib/debug';
const BUILD_ID = /^([0-9a-f]{2})([0-9a-f]{6,})$/;
/** Folders that were moved below /usr; packages know one of the names, the mapping has the other. */
const MERGED = /^\/(?:usr\/)?((?:bin|sbin|lib|lib32|lib64|libx32)(?:\/.*)?)$/;

/**
 * Path of a file as seen from a root. `/proc/PID/maps` gives paths as its
 * reader sees them, the kernel's records as the process does.
 * @param root where the root is for the reader
 */
export function insideRoot(path: string, root: string): string {
  return root !== '/' && path.startsWith(`${root}/`) ? path.slice(root.length) : path;
}

/** Where distributions install the debug file of a build id. */
export function buildIdPaths(buildId: string): string[] {
  const match = BUILD_ID.exec(buildId);
  return match ? [`${DEBUG_ROOT}/.build-id/${match[1]}/${match[2]}.debug`] : [];
}

/** Where the debug file that `.gnu_debuglink` names may be, best first. */
export function debugLinkPaths(binary: string, name: string): string[] {
  const folder = dirname(binary);
  const merged = MERGED.exec(folder)?.[1];
  const folders = merged === undefined ? [folder] : [folder, `/usr/${merged}`, `/${merged}`];
  const paths = [
    join(folder, name),
    join(folder, '.debug', name),
    ...folders.map((each) => join(DEBUG_ROOT, each, name)),
  ];
  return [...new Set(paths)];
}

/**
 * @param holder path of the file that has the link; what a link in
 *   `.build-id/` points to has another folder, so the usual one is tried too
 */
export function supplementPaths(holder: string, path: string, id: string): string[] {
  const places = [join('/', path.startsWith('/') ? path : join(dirname(holder), path))];
  const usual = /(?:^|\/)\.dwz\/(.+)$/.exec(path)?.[1];
  if (usual !== undefined) places.push(join(DEBUG_ROOT, '.dwz', usual));
  return [...new Set([...places, ...buildIdPaths(id)])];
}

/** The package of split debug information that belongs to a binary or its debug file. */
export function packagePaths(files: readonly string[]): string[] {
  const paths = files.flatMap((file) => [`${file}.dwp`, file.replace(/\.debug$/, '.dwp')]);
  return [...new Set(paths)].filter((path) => path.endsWith('.dwp'));
}

/**
 * @param name DW_AT_dwo_name
 * @param folders of the binary and its debug file, for files that were moved together
 */
export function splitPaths(
  name: string,
  compilationDirectory: string,
  folders: readonly string[],
): string[] {
  const base = name.slice(name.lastIndexOf('/') + 1);
  const places = name.startsWith('/')
    ? [name]
    : [join('/', compilationDirectory, name), ...folders.map((folder) => join(folder, name))];
  return [...new Set([...places, ...folders.map((folder) => join(folder, base))])];
}
