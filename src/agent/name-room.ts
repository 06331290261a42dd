/**
 * Room for long names. Real ones beyond 256 characters are few; a file whose 60,000 functions
 * have names of 4 KiB each would otherwise fill memory and profiles with them.
 */
import { cleanName } from '../symbolize/clean-name.ts';
import type { SourceLine } from '../symbolize/source-line.ts';

/** Names up to this length are free. */
const SHORT = 256;
/** Characters of longer ones: of one file or process, and of all. */
const OF_ONE = 1 << 20;
const OF_ALL = 8 << 20;

export class NameRoom {
  readonly #used = new Map<string | number, number>();
  #all = 0;
  #shortened = 0;

  /** `names_shortened`. */
  get problems(): ReadonlyMap<string, number> {
    return new Map(this.#shortened > 0 ? [['names_shortened', this.#shortened]] : []);
  }

  /** The lines as they are, or with long names cut where whoever has them has no more room. */
  fit(owner: string | number, lines: readonly SourceLine[]): readonly SourceLine[] {
    let characters = 0;
    for (const { name, systemName, file } of lines) {
      characters += long(name) + long(systemName) + long(file);
    }
    if (characters === 0) return lines;
    const used = this.#used.get(owner) ?? 0;
    if (used + characters <= OF_ONE && this.#all + characters <= OF_ALL) {
      this.#used.set(owner, used + characters);
      this.#all += characters;
      return lines;
    }
    this.#shortened++;
    return lines.map((line) => ({
      ...line,
      name: cleanName(line.name, SHORT),
      systemName: cleanName(line.systemName, SHORT),
      file: cleanName(line.file, SHORT),
    }));
  }

  /** All names are forgotten. */
  clear(): void {
    this.#used.clear();
    this.#all = 0;
  }
}

const long = (name: string): number => (name.length > SHORT ? name.length : 0);
