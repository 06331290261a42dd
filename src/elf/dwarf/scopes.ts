/** The namespaces, classes and functions around an entry: entries do not know their parents. */
import { ParseError } from '../source.ts';
import { Kind } from './abbreviations.ts';
import { Tag } from './codes.ts';
import { abbreviationsOf, type Unit } from './unit.ts';

const MAX_DEPTH = 256;
/** Four times what the largest units of C++ have. */
const MAX_ENTRIES = 1 << 20;
const INITIAL = 1 << 10;

const SCOPE_TAGS: ReadonlySet<number> = new Set([
  Tag.namespace,
  Tag.module,
  Tag.structureType,
  Tag.classType,
  Tag.unionType,
  Tag.interfaceType,
  Tag.enumerationType,
  Tag.subprogram,
]);

/** For one unit: where the entries of its namespaces begin, so that the way to any other is short. */
export class Scopes {
  readonly #unit: Unit;
  #count = 0;
  /** Ascending. */
  #entries = new Float64Array(INITIAL);
  /** By number of the entry: that of the namespace around it, -1 for the unit. */
  #parents = new Int32Array(INITIAL);

  /** @throws ParseError */
  constructor(unit: Unit) {
    this.#unit = unit;
    const entries = unit.file.entries(unit);
    entries.open(abbreviationsOf(unit), unit, unit.first);
    /** By depth: the number of the namespace there; -1 the unit, -2 anything else. */
    const around: number[] = [];
    let depth = 0;
    while (entries.at < unit.end) {
      const abbreviation = entries.next(false);
      if (abbreviation === undefined) {
        if (--depth <= 0) return;
        continue;
      }
      const parent = depth === 0 ? -2 : around[depth - 1]!;
      if (parent >= -1) {
        this.#add(entries.entry, parent);
      }
      if (!abbreviation.hasChildren) {
        if (depth === 0) return;
        continue;
      }
      const isScope = abbreviation.kind === Kind.scope;
      if (!isScope && entries.sibling > 0 && unit.offset + entries.sibling >= entries.at) {
        entries.at = unit.offset + entries.sibling;
        continue;
      }
      if (depth >= MAX_DEPTH) throw tooDeep();
      if (depth === 0) around[depth++] = -1;
      else around[depth++] = isScope && parent >= -1 ? this.#count - 1 : -2;
    }
  }

  /**
   * The entries of the scopes around `wanted`, outermost first.
   * @throws ParseError
   */
  around(wanted: number): number[] {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle]! <= wanted) low = middle + 1;
      else high = middle;
    }
    const nearest = low - 1;
    if (nearest < 0) return [];
    const scopes: number[] = [];
    for (let parent = this.#parents[nearest]!; parent >= 0; parent = this.#parents[parent]!) {
      scopes.push(this.#entries[parent]!);
    }
    scopes.reverse();
    const start = this.#entries[nearest]!;
    if (start !== wanted) scopes.push(...this.#within(start, wanted));
    return scopes;
  }

  #add(entry: number, parent: number): void {
    const count = this.#count;
    if (count === this.#entries.length) {
      if (count === MAX_ENTRIES) throw new ParseError('too_many_entries', 'of one unit');
      const entries = new Float64Array(4 * count);
      entries.set(this.#entries);
      this.#entries = entries;
      const parents = new Int32Array(4 * count);
      parents.set(this.#parents);
      this.#parents = parents;
    }
    this.#entries[count] = entry;
    this.#parents[count] = parent;
    this.#count = count + 1;
  }

  /** Scopes around `wanted` from the entry `start`, which is around it. */
  #within(start: number, wanted: number): number[] {
    const unit = this.#unit;
    const entries = unit.file.entries(unit);
    entries.open(abbreviationsOf(unit), unit, start);
    const around: number[] = [];
    let depth = 0;
    while (entries.at <= wanted) {
      const abbreviation = entries.next(false);
      if (entries.entry === wanted) break;
      if (abbreviation === undefined) {
        if (--depth <= 0) break;
        continue;
      }
      if (!abbreviation.hasChildren) continue;
      const next = unit.offset + entries.sibling;
      if (next >= entries.at && next <= wanted) {
        entries.at = next;
        continue;
      }
      if (depth >= MAX_DEPTH) throw tooDeep();
      around[depth++] = SCOPE_TAGS.has(abbreviation.tag) ? entries.entry : -1;
    }
    return around.slice(0, Math.max(depth, 0)).filter((entry) => entry >= 0);
  }
}

function tooDeep(): ParseError {
  return new ParseError('depth', 'entries nest too deep');
}
