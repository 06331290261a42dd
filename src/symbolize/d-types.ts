/** Names, types and template arguments of the D mangling. */
import type { DReader } from './d-reader.ts';
import { dValue } from './d-values.ts';

const BASIC: Readonly<Record<string, string>> = {
  n: 'typeof(null)',
  v: 'void',
  g: 'byte',
  h: 'ubyte',
  s: 'short',
  t: 'ushort',
  i: 'int',
  k: 'uint',
  l: 'long',
  m: 'ulong',
  f: 'float',
  d: 'double',
  e: 'real',
  o: 'ifloat',
  p: 'idouble',
  j: 'ireal',
  q: 'cfloat',
  r: 'cdouble',
  c: 'creal',
  b: 'bool',
  a: 'char',
  u: 'wchar',
  w: 'dchar',
};
const CALL: Readonly<Record<string, string>> = {
  F: '',
  U: 'extern(C) ',
  W: 'extern(Windows) ',
  V: 'extern(Pascal) ',
  R: 'extern(C++) ',
  Y: 'extern(Objective-C) ',
};
const ATTRIBUTE: Readonly<Record<string, string>> = {
  a: 'pure ',
  b: 'nothrow ',
  c: 'ref ',
  d: '@property ',
  e: '@trusted ',
  f: '@safe ',
  i: '@nogc ',
  j: 'return ',
  l: 'scope ',
  m: '@live ',
};
/** What the compiler makes for a type or module, by the last part of the name. */
const ARTIFICIAL: Readonly<Record<string, string>> = {
  __init: 'initializer for ',
  __vtbl: 'vtable for ',
  __Class: 'ClassInfo for ',
  __Interface: 'Interface for ',
  __ModuleInfo: 'ModuleInfo for ',
};

export class DTypes {
  readonly #reader: DReader;

  constructor(reader: DReader) {
    this.#reader = reader;
  }

  /** `_D`, a qualified name, its type. */
  mangledName(): string {
    const reader = this.#reader;
    if (!reader.take('_D')) reader.fail();
    const name = this.qualified(true);
    // What the compiler made ends with Z and has no type.
    if (!reader.take('Z')) this.type();
    return name;
  }

  /** @param withModifiers Show ` const` and the like of member functions. */
  qualified(withModifiers: boolean): string {
    return this.#reader.nested(() => {
      const reader = this.#reader;
      let name = '';
      do {
        if (reader.peek() === '0') {
          // Anonymous symbols.
          while (reader.take('0'));
          continue;
        }
        const part = this.#identifier();
        const artificial = reader.peek() === 'Z' ? ARTIFICIAL[part] : undefined;
        if (artificial !== undefined && name !== '') return artificial + name;
        name += (name === '' ? '' : '.') + part;
        name += reader.attempt(() => this.#parameters(withModifiers)) ?? '';
      } while (this.#isSymbol());
      return name;
    });
  }

  type(): string {
    return this.#reader.nested(() => this.#type());
  }

  #type(): string {
    const reader = this.#reader;
    const letter = reader.peek();
    if (letter === 'Q') return reader.following(() => this.type());
    if (letter in CALL) return `${this.#functionType()}function`;
    reader.next();
    const basic = BASIC[letter];
    if (basic !== undefined) return basic;
    switch (letter) {
      case 'O':
        return `shared(${this.type()})`;
      case 'x':
        return `const(${this.type()})`;
      case 'y':
        return `immutable(${this.type()})`;
      case 'N':
        return this.#extended(reader.next());
      case 'z':
        return reader.take('i') ? 'cent' : reader.take('k') ? 'ucent' : reader.fail();
      case 'A':
        return `${this.type()}[]`;
      case 'G': {
        const length = reader.digits();
        return `${this.type()}[${length}]`;
      }
      case 'H': {
        const key = this.type();
        return `${this.type()}[${key}]`;
      }
      case 'P':
        return reader.peek() in CALL ? `${this.#functionType()}function` : `${this.type()}*`;
      case 'C':
      case 'S':
      case 'E':
      case 'T':
      case 'I':
        return this.qualified(false);
      case 'D':
        return this.#delegate();
      case 'B': {
        const count = reader.number();
        return `Tuple!(${this.#list(count, () => this.type())})`;
      }
      default:
        return reader.fail();
    }
  }

  #extended(letter: string): string {
    if (letter === 'g') return `inout(${this.type()})`;
    if (letter === 'h') return `__vector(${this.type()})`;
    return letter === 'n' ? 'typeof(*null)' : this.#reader.fail();
  }

  #delegate(): string {
    const modifiers = this.#modifiers();
    const reader = this.#reader;
    const type =
      reader.peek() === 'Q' ? reader.following(() => this.#functionType()) : this.#functionType();
    return `${type}delegate${modifiers}`;
  }

  #functionType(): string {
    const reader = this.#reader;
    return reader.nested(() => {
      const convention = CALL[reader.next()] ?? reader.fail();
      const attributes = this.#attributes();
      const parameters = this.#parameterList();
      return `${convention}${this.type()}${parameters} ${attributes}`;
    });
  }

  /** Of a function's name: parameters, and what follows must be more of the name or its type. */
  #parameters(withModifiers: boolean): string {
    const reader = this.#reader;
    const modifiers = reader.take('M') ? this.#modifiers() : '';
    if (!(reader.next() in CALL)) reader.fail();
    this.#attributes();
    const parameters = this.#parameterList();
    if (reader.atEnd) reader.fail();
    return parameters + (withModifiers ? modifiers : '');
  }

  #modifiers(): string {
    const reader = this.#reader;
    let text = '';
    for (;;) {
      if (reader.take('x')) return `${text} const`;
      if (reader.take('y')) return `${text} immutable`;
      if (reader.take('O')) text += ' shared';
      else if (reader.take('Ng')) text += ' inout';
      else return text;
    }
  }

  #attributes(): string {
    const reader = this.#reader;
    let text = '';
    while (reader.peek() === 'N') {
      const attribute = ATTRIBUTE[reader.peek(1)];
      // Ng, Nh, Nk, Nn begin a parameter.
      if (attribute === undefined) break;
      reader.slice(2);
      text += attribute;
    }
    return text;
  }

  #parameterList(): string {
    const reader = this.#reader;
    const parameters: string[] = [];
    for (;;) {
      if (reader.take('Z')) return `(${parameters.join(', ')})`;
      if (reader.take('X')) return `(${parameters.join(', ')}...)`;
      if (reader.take('Y')) return `(${[...parameters, '...'].join(', ')})`;
      parameters.push(this.#storage() + this.type());
    }
  }

  #storage(): string {
    const reader = this.#reader;
    let text = '';
    for (;;) {
      if (reader.take('M')) text += 'scope ';
      else if (reader.take('Nk')) text += 'return ';
      else if (reader.take('I')) text += 'in ';
      else if (reader.take('J')) text += 'out ';
      else if (reader.take('K')) text += 'ref ';
      else if (reader.take('L')) text += 'lazy ';
      else return text;
    }
  }

  #isSymbol(): boolean {
    const reader = this.#reader;
    if (reader.isDigit() || reader.startsWith('__T') || reader.startsWith('__U')) return true;
    return reader.peek() === 'Q' && /[0-9]/.test(reader.peekReference());
  }

  #identifier(): string {
    const reader = this.#reader;
    if (reader.peek() === 'Q') {
      return reader.following(() => this.#special(reader.slice(reader.number())));
    }
    if (reader.startsWith('__T') || reader.startsWith('__U')) return this.#template();
    const length = reader.number();
    if (length === 0) reader.fail();
    if (length >= 5 && (reader.startsWith('__T') || reader.startsWith('__U'))) {
      const end = reader.at + length;
      const text = this.#template();
      return reader.at === end ? text : reader.fail();
    }
    const name = reader.slice(length);
    // A parent made up to tell equal names of one function apart.
    return /^__S\d+$/.test(name) ? this.#identifier() : this.#special(name);
  }

  #special(name: string): string {
    if (name === '__ctor') return 'this';
    if (name === '__dtor') return '~this';
    if (name === '__postblit' && this.#reader.take('MFZ')) return 'this(this)';
    return name;
  }

  #template(): string {
    return this.#reader.nested(() => {
      const reader = this.#reader;
      reader.slice(3);
      if (!this.#isSymbol() || reader.peek() === '0') reader.fail();
      const name = this.#identifier();
      const parts: string[] = [];
      while (!reader.take('Z')) parts.push(this.#templateArgument());
      return `${name}!(${parts.join(', ')})`;
    });
  }

  #templateArgument(): string {
    const reader = this.#reader;
    reader.take('H'); // A specialised parameter.
    switch (reader.next()) {
      case 'T':
        return this.type();
      case 'S':
        return this.#symbolArgument();
      case 'V': {
        const letter = reader.peek() === 'Q' ? reader.peekReference() : reader.peek();
        const type = this.type();
        return dValue(reader, type, letter, () => this.mangledName());
      }
      case 'X':
        return reader.slice(reader.number());
      default:
        return reader.fail();
    }
  }

  #symbolArgument(): string {
    const reader = this.#reader;
    if (reader.startsWith('_D')) return this.mangledName();
    if (reader.peek() === 'Q') return this.qualified(false);
    const from = reader.at;
    const digits = reader.digits();
    // `S213foo…`: the length's last digits may be the first of the name.
    for (let length = digits.length; length > 0; length--) {
      const size = Number(digits.slice(0, length));
      const start = from + length;
      reader.at = start;
      const text = reader.attempt(() => this.#symbol());
      if (text !== undefined && reader.at - start === size) return text;
    }
    reader.at = from;
    return this.#symbol();
  }

  #symbol(): string {
    if (this.#isSymbol()) return this.qualified(false);
    return this.#reader.startsWith('_D') ? this.mangledName() : this.#reader.fail();
  }

  #list(count: number, read: () => string): string {
    const parts: string[] = [];
    for (let at = 0; at < count; at++) parts.push(read());
    return parts.join(', ');
  }
}
