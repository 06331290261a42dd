/** Names of functions: through origins and specifications, with the scopes around them. */
import { ParseError } from '../source.ts';
import { Form, Slot } from './codes.ts';
import type { EntryReader } from './entry-reader.ts';
import { Scopes } from './scopes.ts';
import { hasScopes, readEntry, textOf, type Unit } from './unit.ts';

/** Concrete function to abstract one to the declaration in its class: three; partial units add some. */
const MAX_REFERENCES = 16;
/** What is kept until the end of a batch. */
const MAX_NAMES = 100_000;
const MAX_NAME_LENGTH = 1 << 16;

export interface FunctionName {
  readonly name: string;
  readonly linkageName: string;
  readonly startLine: number;
}

interface Place {
  readonly unit: Unit;
  readonly entry: number;
}

const UNKNOWN: FunctionName = { name: '', linkageName: '', startLine: 0 };
export class FunctionNames {
  readonly #names = new Map<Unit, Map<number, FunctionName>>();
  #scopes: { unit: Unit; scopes: Scopes } | undefined;
  #count = 0;

  /** The name of the function whose entry that is. Problems are counted. */
  of(unit: Unit, entry: number): FunctionName {
    let names = this.#names.get(unit);
    if (names === undefined) {
      names = new Map();
      this.#names.set(unit, names);
    }
    let name = names.get(entry);
    if (name === undefined) {
      name = this.#read(unit, entry);
      if (++this.#count <= MAX_NAMES) names.set(entry, name);
    }
    return name;
  }

  #read(unit: Unit, entry: number): FunctionName {
    let name = '';
    let linkageName = '';
    let startLine = 0;
    /** The last one has the scopes around it: it is the declaration. */
    let last: Place = { unit, entry };
    try {
      let place: Place | undefined = last;
      for (let count = 0; place !== undefined; count++) {
        if (count === MAX_REFERENCES) throw new ParseError('reference_cycle', 'too many origins');
        last = place;
        const entries = readEntry(place.unit, place.entry);
        const next = origin(place.unit, entries);
        const { forms, values } = entries;
        if (startLine === 0 && forms[Slot.declLine] !== 0) startLine = values[Slot.declLine]!;
        // Texts may be read by the same reader: take the values first.
        const plain = { form: forms[Slot.name]!, value: values[Slot.name]! };
        const linkage = { form: forms[Slot.linkageName]!, value: values[Slot.linkageName]! };
        if (name === '' && plain.form !== 0) name = textOf(place.unit, plain.form, plain.value);
        if (linkageName === '' && linkage.form !== 0) {
          linkageName = textOf(place.unit, linkage.form, linkage.value);
        }
        place = next;
      }
      if (linkageName === '' && name !== '' && hasScopes(last.unit)) {
        const scope = this.#scope(last);
        if (scope !== '') name = `${scope}::${name}`.slice(0, MAX_NAME_LENGTH);
      }
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      unit.file.count(error.reason);
      if (name === '' && linkageName === '') return { ...UNKNOWN, startLine };
    }
    return { name, linkageName, startLine };
  }

  /** Names of the namespaces, classes and functions around an entry, '' for none. */
  #scope({ unit, entry }: Place): string {
    // Units are asked for one after the other.
    if (this.#scopes?.unit !== unit) this.#scopes = { unit, scopes: new Scopes(unit) };
    const names = this.#scopes.scopes.around(entry).map((scope) => this.#scopeName(unit, scope));
    return names.filter((name) => name !== '').join('::');
  }

  #scopeName(unit: Unit, entry: number): string {
    const entries = readEntry(unit, entry);
    const { forms, values } = entries;
    if (forms[Slot.name] !== 0) return textOf(unit, forms[Slot.name]!, values[Slot.name]!);
    // A function around others: its name may be where it was declared.
    const from = origin(unit, entries);
    if (from !== undefined) {
      const above = readEntry(from.unit, from.entry);
      const form = above.forms[Slot.name]!;
      return form === 0 ? '' : textOf(from.unit, form, above.values[Slot.name]!);
    }
    return '(anonymous)';
  }
}

/** What the entry just read stands for; undefined when it is the thing itself. */
function origin(unit: Unit, entries: EntryReader): Place | undefined {
  for (const slot of [Slot.specification, Slot.abstractOrigin]) {
    const form = entries.forms[slot]!;
    if (form !== 0) return resolve(unit, form, entries.values[slot]!, entries.places[slot]!);
  }
  return undefined;
}

/**
 * The entry that a reference means.
 * @throws ParseError `reference`, `supplement_missing`, `reference_form`.
 */
function resolve(unit: Unit, form: number, value: number, place: number): Place {
  const { file } = unit;
  switch (form) {
    case Form.ref1:
    case Form.ref2:
    case Form.ref4:
    case Form.ref8:
    case Form.refUdata:
      return { unit, entry: unit.offset + value };
    case Form.refAddr:
      return inUnit(file.unitAt(value + (file.contribution?.info ?? 0)), value);
    case Form.refSup4:
    case Form.refSup8:
    case Form.gnuRefAlt: {
      const supplement = file.supplement();
      if (supplement === undefined) throw new ParseError('supplement_missing', 'no such file');
      return inUnit(supplement.unitAt(value), value);
    }
    case Form.refSig8: {
      const signature = file.reader(unit.section).seek(place).exact64();
      const type = file.typeUnit(signature);
      if (type === undefined) throw new ParseError('reference', 'no type unit of that signature');
      return { unit: type, entry: type.offset + type.typeOffset };
    }
    default:
      throw new ParseError('reference_form', `a reference of form 0x${form.toString(16)}`);
  }
}

function inUnit(unit: Unit | undefined, entry: number): Place {
  if (unit === undefined) throw new ParseError('reference', `no unit at ${entry}`);
  return { unit, entry };
}
