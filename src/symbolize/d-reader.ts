/** The characters of one mangled D name, with a budget for the time it may take. */

/** Thrown inside of the demangler only. */
export class NotDName extends Error {}

/** Steps of reading one name; the longest of Phobos takes about 2,000. */
const MAX_STEPS = 50_000;
/** Characters put together, counted at each level. */
const MAX_WRITTEN = 1 << 20;
const MAX_DEPTH = 128;

export class DReader {
  readonly #text: string;
  /** One for all: what takes time is noting where it was made. */
  readonly #failure = new NotDName();
  at = 0;
  #steps = 0;
  #written = 0;
  #depth = 0;
  /** Back references only go further back, so that they end. */
  #lastReference: number;

  constructor(text: string) {
    this.#text = text;
    this.#lastReference = text.length;
  }

  get atEnd(): boolean {
    return this.at >= this.#text.length;
  }

  /** '' at the end. */
  peek(ahead = 0): string {
    return this.#text[this.at + ahead] ?? '';
  }

  next(): string {
    const character = this.peek();
    if (character === '' || ++this.#steps > MAX_STEPS) this.fail();
    this.at++;
    return character;
  }

  /** Consumes `text` when it comes next. */
  take(text: string): boolean {
    if (++this.#steps > MAX_STEPS) this.fail();
    if (!this.#text.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  startsWith(text: string, ahead = 0): boolean {
    return this.#text.startsWith(text, this.at + ahead);
  }

  slice(length: number): string {
    if (length > this.#text.length - this.at) this.fail();
    const part = this.#text.slice(this.at, this.at + length);
    this.at += length;
    return part;
  }

  isDigit(ahead = 0): boolean {
    return /[0-9]/.test(this.peek(ahead));
  }

  /** Decimal digits as written. */
  digits(): string {
    const from = this.at;
    while (this.isDigit()) this.next();
    if (this.at === from) this.fail();
    return this.#text.slice(from, this.at);
  }

  /** A length or count. */
  number(): number {
    const value = Number(this.digits());
    if (value > this.#text.length * 1e6) this.fail();
    return value;
  }

  hexDigits(): string {
    const from = this.at;
    while (/[0-9A-F]/.test(this.peek())) this.next();
    if (this.at === from) this.fail();
    return this.#text.slice(from, this.at);
  }

  /** Where the `Q…` at `at` points to; base 26, the last digit in lower case. */
  reference(): number {
    const from = this.at;
    this.next();
    for (let distance = 0; ; ) {
      const digit = this.next();
      if (digit >= 'A' && digit <= 'Z') distance = distance * 26 + digit.charCodeAt(0) - 0x41;
      else if (digit >= 'a' && digit <= 'z') {
        const target = from - (distance * 26 + digit.charCodeAt(0) - 0x61);
        return target < 0 || target >= from ? this.fail() : target;
      } else return this.fail();
      if (distance > from) return this.fail();
    }
  }

  /** Character that a `Q…` at `at` points to, '' when it points nowhere; reads nothing. */
  peekReference(): string {
    const from = this.at;
    try {
      return this.#text[this.reference()] ?? '';
    } catch (error) {
      if (!(error instanceof NotDName)) throw error;
      return '';
    } finally {
      this.at = from;
    }
  }

  /** Reads where the `Q…` at `at` points to, then goes on behind it. */
  following<Result>(read: () => Result): Result {
    if (this.at >= this.#lastReference) this.fail();
    const before = this.#lastReference;
    this.#lastReference = this.at;
    const target = this.reference();
    const after = this.at;
    this.at = target;
    const result = read();
    this.at = after;
    this.#lastReference = before;
    return result;
  }

  /** What `read` gives, or undefined with nothing read when it fails. */
  attempt<Result>(read: () => Result): Result | undefined {
    const { at } = this;
    const reference = this.#lastReference;
    const depth = this.#depth;
    try {
      return read();
    } catch (error) {
      // A budget that is used up stays so: the next step fails again.
      if (!(error instanceof NotDName)) throw error;
      this.at = at;
      this.#lastReference = reference;
      this.#depth = depth;
      return undefined;
    }
  }

  /** One level deeper. */
  nested(read: () => string): string {
    if (++this.#depth > MAX_DEPTH) this.fail();
    const text = read();
    this.#written += text.length;
    if (this.#written > MAX_WRITTEN) this.fail();
    this.#depth--;
    return text;
  }

  fail(): never {
    throw this.#failure;
  }
}
