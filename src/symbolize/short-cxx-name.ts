/** Short forms of C++ names as libiberty, c++filt and perf write them. */
import { afterClosing, operatorAt, wordAt } from './brackets.ts';

/** What the compiler made for a function: kept in front of its short name. */
const PHRASE =
  /^(?:(?:non-virtual|virtual|covariant return) thunk to |(?:TLS (?:init|wrapper) function|guard variable|vtable|VTT|typeinfo(?: name)?|reference temporary #\d+|transaction clone|non-transaction clone) for )/;
/** Follows parameters and says nothing about which function it is. */
const QUALIFIER = / ?(?:(?:const|volatile|restrict|noexcept|transaction_safe)(?![\w$])|&&?)/y;
const UNNAMED_SCOPE =
  /\((?:anonymous namespace|anonymous class|anonymous struct|anonymous union|anonymous)\)/y;
const LAMBDA = '{lambda(';
const FOLDED = '<...>';

export function shortCxxName(name: string): string {
  const phrase = PHRASE.exec(name)?.[0] ?? '';
  const short = new Scan(name, phrase.length).run();
  return short === '' ? name : phrase + short;
}

/**
 * One pass over the text outside of all brackets. What was collected before a
 * blank was the return type, unless the blank belongs to the name itself.
 */
class Scan {
  readonly #text: string;
  #at: number;
  #out = '';
  #hasParameters = false;
  /** In the type of `operator TYPE`, whose blanks belong to the name. */
  #isConversion = false;

  constructor(text: string, at: number) {
    this.#text = text;
    this.#at = at;
  }

  /** '' when the brackets do not match. */
  run(): string {
    while (this.#at < this.#text.length) {
      if (!this.#step()) return '';
    }
    return this.#out;
  }

  #step(): boolean {
    const text = this.#text;
    const word = wordAt(text, this.#at);
    if (word !== '') {
      this.#word(word);
      return true;
    }
    switch (text[this.#at]) {
      case '<':
        return this.#skip(FOLDED);
      case '(':
        return this.#parenthesis();
      case ')':
        // The end of `void (*name(int))(char)`: a function that returns a function pointer.
        this.#at = text.length;
        return true;
      case '{':
        return this.#braces();
      case '[':
        return this.#copy();
      case ' ':
        this.#blank();
        return true;
      case ':':
        this.#hasParameters = false;
    }
    this.#out += text[this.#at++];
    return true;
  }

  #word(word: string): void {
    this.#at += word.length;
    this.#out += word;
    if (word !== 'operator') return;
    const operator = operatorAt(this.#text, this.#at);
    this.#at += operator.length;
    this.#out += operator;
    if (operator === '' && this.#text[this.#at] === ' ') this.#isConversion = true;
  }

  #blank(): void {
    const text = this.#text;
    const next = text[this.#at + 1];
    QUALIFIER.lastIndex = this.#at;
    const qualifier = this.#hasParameters ? QUALIFIER.exec(text) : null;
    if (qualifier !== null) {
      this.#at += qualifier[0].length;
      return;
    }
    this.#at++;
    // `operator<< <int>`, `f() [clone .cold]`, `operator unsigned int`.
    const isKept = next === '<' || next === '[' || (this.#isConversion && !this.#hasParameters);
    if (isKept) this.#out += ' ';
    else this.#restart();
  }

  #restart(): void {
    this.#out = '';
    this.#hasParameters = false;
    this.#isConversion = false;
  }

  #parenthesis(): boolean {
    const text = this.#text;
    UNNAMED_SCOPE.lastIndex = this.#at;
    const scope = UNNAMED_SCOPE.exec(text)?.[0];
    if (scope !== undefined) {
      this.#out += scope;
      this.#at += scope.length;
      return true;
    }
    const afterBlank = text[this.#at - 1] === ' ';
    if (afterBlank && this.#isConversion) return this.#copy();
    if (afterBlank && /[*&]/.test(text[this.#at + 1] ?? '')) {
      this.#at++;
      while (/[*& ]/.test(text[this.#at] ?? '')) this.#at++;
      this.#restart();
      return true;
    }
    if (!this.#skip('')) return false;
    this.#hasParameters = true;
    this.#isConversion = false;
    return true;
  }

  /** `{lambda(int)#1}` without the types. */
  #braces(): boolean {
    const text = this.#text;
    if (!text.startsWith(LAMBDA, this.#at)) return this.#copy();
    const end = afterClosing(text, this.#at);
    const parameters = afterClosing(text, this.#at + LAMBDA.length - 1);
    if (end < 0 || parameters < 0) return false;
    this.#out += `${LAMBDA})${text.slice(parameters, end)}`;
    this.#at = end;
    return true;
  }

  #copy(): boolean {
    const end = afterClosing(this.#text, this.#at);
    if (end < 0) return false;
    this.#out += this.#text.slice(this.#at, end);
    this.#at = end;
    return true;
  }

  #skip(instead: string): boolean {
    const end = afterClosing(this.#text, this.#at);
    if (end < 0) return false;
    this.#out += instead;
    this.#at = end;
    return true;
  }
}
