/** What others may see of secrets: in the list of processes, or in files that they can read. */
import { statSync } from 'node:fs';
import { systemReason } from '../units/system-reason.ts';
import { exporterSchemas } from './exporter-schema.ts';
import type { Sources } from './load.ts';
import type { ConfigProblem, Origin } from './problem.ts';
import type { Config } from './schema.ts';
import { camelCase, type Key, keysOf } from './setting.ts';

interface Built {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, Origin>;
}

/** Keys of files that hold secrets. */
const SECRET_FILES = /(^|\.)(password_file|bearer_token_file|key_file)$/;
const OTHER_FILES = /(^|\.)(ca_file|cert_file)$/;
/** Headers that say who we are, which proves nothing. */
const NO_SECRETS = /\.(x-scope-orgid|user-agent)$/i;
/** Folders of ours. */
const FOLDERS = /(^|\.)directory$/;
const LISTED_BY_ALL = 0o005;
const READABLE_BY_ALL = 0o004;
const READABLE_BY_GROUP = 0o040;

/** None of these keeps the agent from starting: a secret may be renewed, or come later. */
export function secretWarnings(
  { config, origins }: Built,
  sources: Pick<Sources, 'file'>,
): ConfigProblem[] {
  const warnings: ConfigProblem[] = [];
  let isInFile = false;
  for (const [i, exporter] of config.exporters.entries()) {
    const base = ['exporters', String(i), exporter.kind];
    for (const [path, key] of keysOf(exporterSchemas[exporter.kind], base)) {
      const name = path.join('.');
      const value = valueAt(exporter, path.slice(base.length));
      const origin = origins.get(name);
      if (isSecret(key)) {
        const all = key.is === 'table' ? below(origins, name) : origin ? [origin] : [];
        if (all.some(({ from }) => from === 'file')) isInFile = true;
        const set = all.find(({ from }) => from === 'set');
        if (set) warnings.push({ origin: set, key: name, message: SEEN });
      } else if (typeof value === 'string' && value !== '' && origin) {
        const what = SECRET_FILES.test(name)
          ? fileWarning(value, true)
          : OTHER_FILES.test(name)
            ? fileWarning(value, false)
            : FOLDERS.test(name)
              ? folderWarning(value)
              : undefined;
        if (what !== undefined) warnings.push({ origin, key: name, message: what });
      }
    }
  }
  const { tokenFile } = config.viewer;
  const told = tokenFile === '' ? undefined : fileWarning(tokenFile, true);
  const origin = origins.get('viewer.token_file');
  if (told !== undefined && origin)
    warnings.push({ origin, key: 'viewer.token_file', message: told });
  const { file } = sources;
  const what = isInFile && file !== undefined ? fileWarning(file, true) : undefined;
  if (what !== undefined) warnings.push({ origin: { from: 'default' }, key: '', message: what });
  return warnings;
}

const SEEN =
  'is a secret, and the list of processes shows it to every user: put it into the file of --config, an environment variable, or a file of its own';

const isSecret = (key: Key): boolean => key.is !== 'list' && key.secret;

/** Of the entries of a table. */
const below = (origins: ReadonlyMap<string, Origin>, path: string): Origin[] =>
  [...origins].flatMap(([key, origin]) =>
    key.startsWith(`${path}.`) && !NO_SECRETS.test(key) ? [origin] : [],
  );

function valueAt(exporter: object, path: readonly string[]): unknown {
  return path.reduce(
    (value: unknown, name) => (value as Readonly<Record<string, unknown>>)[camelCase(name)],
    exporter,
  );
}

/** Files in it are private; their names and sizes are not. One that is there is not ours to change. */
function folderWarning(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() && (found.mode & LISTED_BY_ALL) !== 0
    ? `every user of this machine can list ${path}: chmod 700 ${path}, unless that is meant`
    : undefined;
}

function fileWarning(path: string, isSecretFile: boolean): string | undefined {
  try {
    const { mode, gid } = statSync(path);
    if (!isSecretFile) return undefined;
    if ((mode & READABLE_BY_ALL) !== 0)
      return `${path} holds a secret that every user of this machine can read: chmod 600 ${path}`;
    const isOtherGroup = gid !== 0 && gid !== process.getegid?.();
    if ((mode & READABLE_BY_GROUP) !== 0 && isOtherGroup)
      return `${path} holds a secret that group ${gid} can read: chmod 600 ${path}, unless that is meant`;
    return undefined;
  } catch (error) {
    return `${path}: ${systemReason(error)}; profiles wait until it exists`;
  }
}
