/** Names of functions: through origins and specifications, with the scopes around them. */
import { ParseError } from '../source.ts';
import { Form, Slot, Tag } from './codes.ts';
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

/** What an entry and those that it refers to say. */
interface Told extends FunctionName {
  /** Has the scopes around it: the last one of the references. */
  readonly declaration: Place;
  /** With its scopes, once somebody asked. */
  final: FunctionName | undefined;
}

/** Names of one batch. Many calls share the function that was inlined: it is read once. */
export class FunctionNames {
  readonly #told = new Map<Unit, Map<number, Told>>();
  #scopes: { unit: Unit; scopes: Scopes; names: Map<number, string> } | undefined;
  #count = 0;

  /** The name of the function whose entry that is. Problems are counted. */
  of(unit: Unit, entry: number): FunctionName {
    const told = this.#of(unit, entry, 0);
    told.final ??= this.#final(told);
    return told.final;
  }

  #of(unit: Unit, entry: number, references: number): Told {
    let known = this.#told.get(unit);
    if (known === undefined) {
      known = new Map();
      this.#told.set(unit, known);
    }
    let told = known.get(entry);
    if (told === undefined) {
      told = this.#read(unit, entry, references);
      if (++this.#count <= MAX_NAMES) known.set(entry, told);
    }
    return told;
  }

  #read(unit: Unit, entry: number, references: number): Told {
    let name = '';
    let linkageName = '';
    let startLine = 0;
    let base: Told | undefined;
    try {
      const entries = readEntry(unit, entry);
      const { forms, values } = entries;
      // The same reader reads what this entry refers to: take the values first.
      const from = origin(unit, entries);
      const nameForm = forms[Slot.name]!;
      const nameValue = values[Slot.name]!;
      const linkageForm = forms[Slot.linkageName]!;
      const linkageValue = values[Slot.linkageName]!;
      if (forms[Slot.declLine] !== 0) startLine = Math.max(values[Slot.declLine]!, 0);
      if (nameForm !== 0) name = textOf(unit, nameForm, nameValue);
      if (linkageForm !== 0) linkageName = textOf(unit, linkageForm, linkageValue);
      if (from !== undefined) {
        if (references === MAX_REFERENCES) {
          throw new ParseError('reference_cycle', 'too many origins');
        }
        base = this.#of(from.unit, from.entry, references + 1);
      }
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      unit.file.count(error.reason);
    }
    if (base !== undefined && name === '' && linkageName === '' && startLine === 0) return base;
    return {
      name: name || (base?.name ?? ''),
      linkageName: linkageName || (base?.linkageName ?? ''),
      startLine: startLine || (base?.startLine ?? 0),
      declaration: base?.declaration ?? { unit, entry },
      final: undefined,
    };
  }

  #final({ name, linkageName, startLine, declaration }: Told): FunctionName {
    let full = name;
    if (linkageName === '' && name !== '') {
      try {
        const scope = hasScopes(declaration.unit) ? this.#scope(declaration) : '';
        if (scope !== '') full = `${scope}::${name}`.slice(0, MAX_NAME_LENGTH);
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        declaration.unit.file.count(error.reason);
      }
    }
    return { name: full, linkageName, startLine };
  }

  /** Names of the namespaces, classes and functions around an entry, '' for none. */
  #scope({ unit, entry }: Place): string {
    // Units are asked for one after the other.
    if (this.#scopes?.unit !== unit) {
      this.#scopes = { unit, scopes: new Scopes(unit), names: new Map() };
    }
    const { scopes, names } = this.#scopes;
    const texts: string[] = [];
    for (const scope of scopes.around(entry)) {
      let text = names.get(scope);
      if (text === undefined) {
        text = this.#scopeName(unit, scope);
        names.set(scope, text);
      }
      if (text !== '') texts.push(text);
    }
    return texts.join('::');
  }

  #scopeName(unit: Unit, entry: number): string {
    const entries = readEntry(unit, entry);
    const form = entries.forms[Slot.name]!;
    if (form !== 0) return textOf(unit, form, entries.values[Slot.name]!);
    if (entries.tag === Tag.namespace) return '(anonymous namespace)';
    if (entries.tag === Tag.subprogram) return this.#of(unit, entry, 0).name;
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
