/** Values in template arguments of the D mangling. */
import type { DReader } from './d-reader.ts';

/** Digits after the escape of a character that is not printed, by its type. */
const ESCAPES: Readonly<Record<string, readonly [escape: string, digits: number]>> = {
  a: ['\\x', 2],
  u: ['\\u', 4],
  w: ['\\U', 8],
};
const SUFFIXES: Readonly<Record<string, string>> = { h: 'u', t: 'u', k: 'u', l: 'L', m: 'uL' };
const CONTROLS: Readonly<Record<number, string>> = {
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
};

/**
 * @param type As shown in front of a struct's values.
 * @param letter Of the type: how an integer is written depends on it.
 * @param functionName Reads the name of a function literal.
 */
export function dValue(
  reader: DReader,
  type: string,
  letter: string,
  functionName: () => string,
): string {
  const value = () => reader.nested(() => dValue(reader, '', '', functionName));
  const values = (count: number) => {
    const parts: string[] = [];
    for (let at = 0; at < count; at++) parts.push(value());
    return parts.join(', ');
  };
  if (reader.isDigit()) return integer(reader, letter);
  switch (reader.next()) {
    case 'n':
      return 'null';
    case 'N':
      return `-${integer(reader, letter)}`;
    case 'i':
      return integer(reader, letter);
    case 'e':
      return real(reader);
    case 'c': {
      const first = real(reader);
      return reader.take('c') ? `${first}+${real(reader)}i` : reader.fail();
    }
    case 'a':
      return text(reader, '');
    case 'w':
      return text(reader, 'w');
    case 'd':
      return text(reader, 'd');
    case 'A': {
      const count = reader.number();
      if (letter !== 'H') return `[${values(count)}]`;
      const pairs: string[] = [];
      for (let at = 0; at < count; at++) pairs.push(`${value()}:${value()}`);
      return `[${pairs.join(', ')}]`;
    }
    case 'S': {
      const count = reader.number();
      return `${type}(${values(count)})`;
    }
    case 'f':
      return functionName();
    default:
      return reader.fail();
  }
}

function integer(reader: DReader, letter: string): string {
  const digits = reader.digits();
  if (letter === 'b') return Number(digits) === 0 ? 'false' : 'true';
  const escaped = ESCAPES[letter];
  if (escaped === undefined) return digits + (SUFFIXES[letter] ?? '');
  const code = Number(digits);
  if (letter === 'a' && code >= 0x20 && code < 0x7f) return `'${String.fromCharCode(code)}'`;
  return `'${escaped[0]}${code.toString(16).padStart(escaped[1], '0')}'`;
}

function real(reader: DReader): string {
  if (reader.take('NAN')) return 'NaN';
  if (reader.take('INF')) return 'Inf';
  if (reader.take('NINF')) return '-Inf';
  const sign = reader.take('N') ? '-' : '';
  const digits = reader.hexDigits();
  if (!reader.take('P')) reader.fail();
  const exponent = (reader.take('N') ? '-' : '') + reader.digits();
  return `${sign}0x${digits[0]}.${digits.slice(1)}p${exponent}`;
}

function text(reader: DReader, suffix: string): string {
  const length = reader.number();
  if (!reader.take('_')) reader.fail();
  let result = '"';
  for (let at = 0; at < length; at++) {
    const pair = reader.slice(2);
    if (!/^[0-9a-f]{2}$/i.test(pair)) reader.fail();
    const code = Number.parseInt(pair, 16);
    if (code >= 0x20 && code < 0x7f) result += String.fromCharCode(code);
    else result += CONTROLS[code] ?? `\\x${pair}`;
  }
  return `${result}"${suffix}`;
}
