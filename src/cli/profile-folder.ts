/** A folder that gets a pprof file for each profile, within limits of bytes and age. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Profile } from '../profile/model.ts';
import { CommandError, reasonOf } from './errors.ts';
import { FORMATS } from './format.ts';
import { openOutput } from './output-file.ts';

export interface FolderLimits {
  /** Infinity: files are never removed. */
  readonly maxBytes: number;
  /** Milliseconds; 0: kept however old. */
  readonly maxAge: number;
}

const OWN_FILE = /^flametap-[\dTZ.-]+\.pb\.gz$/;

export class ProfileFolder {
  readonly #path: string;
  readonly #limits: FolderLimits;

  private constructor(path: string, limits: FolderLimits) {
    this.#path = path;
    this.#limits = limits;
  }

  /** Makes the folder and tries it. @param asked the option or key it comes from. @throws CommandError */
  static async open(path: string, asked: string, limits: FolderLimits): Promise<ProfileFolder> {
    try {
      await makeFolders(resolve(path));
    } catch (error) {
      throw new CommandError(`${asked}: cannot make ${path}: ${reasonOf(error)}`);
    }
    const trial = await openOutput(join(path, 'flametap-trial'));
    await trial.abandon();
    return new ProfileFolder(path, limits);
  }

  /** @throws CommandError when it cannot be written */
  async write(profile: Profile): Promise<void> {
    const output = await openOutput(join(this.#path, fileName(profile)));
    try {
      await output.write(FORMATS.pprof.encode(profile, false));
    } catch (error) {
      await output.abandon();
      throw error;
    }
    await this.#removeOld();
  }

  async #removeOld(): Promise<void> {
    const { maxBytes, maxAge } = this.#limits;
    if (maxBytes === Number.POSITIVE_INFINITY && maxAge === 0) return;
    const names = (await readdir(this.#path)).filter((name) => OWN_FILE.test(name));
    // Newest first: names sort by time.
    names.sort().reverse();
    const oldest = maxAge === 0 ? 0 : Date.now() - maxAge;
    let sum = 0;
    for (const name of names) {
      const path = join(this.#path, name);
      const found = await stat(path).catch(() => undefined);
      sum += found?.size ?? 0;
      if (found && (sum > maxBytes || found.mtimeMs < oldest)) await rm(path, { force: true });
    }
  }
}

/** One by one: Node's own recursive mkdir never ends below /proc, where folders cannot be made. */
async function makeFolders(path: string): Promise<void> {
  const parent = dirname(path);
  if (parent !== path) await makeFolders(parent);
  try {
    await mkdir(path);
  } catch (error) {
    const found = await stat(path).catch(() => undefined);
    if (!found?.isDirectory()) throw error;
  }
}

/** flametap-2026-11-21T11-55-10.123Z.pb.gz: sorts by time, no colon for other systems. */
function fileName(profile: Profile): string {
  const time = new Date(Number(profile.startTime / 1_000_000n)).toISOString();
  return `flametap-${time.replaceAll(':', '-')}.pb.gz`;
}
