/** Short forms of D names. */

const FOLDED = '!(...)';

/**
 * Template arguments folded, parameters and qualifiers left out:
 * `core.atomic.atomicOp!("-=", uint).atomicOp(ref uint)` becomes
 * `core.atomic.atomicOp!(...).atomicOp`.
 */
export function shortDName(name: string): string {
  let out = '';
  let hasParameters = false;
  for (let at = 0; at < name.length; at++) {
    const character = name[at]!;
    if (character === '(') {
      const end = afterParenthesis(name, at);
      if (end < 0) return name;
      if (out.endsWith('!')) out = out.slice(0, -1) + FOLDED;
      else hasParameters = true;
      at = end - 1;
    } else {
      if (character === '.') hasParameters = false;
      // ` const`, ` shared` after parameters.
      if (!hasParameters) out += character;
    }
  }
  return out === '' ? name : out;
}

/** Values in template arguments are literals: their brackets do not count. */
function afterParenthesis(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"' || character === "'") {
      at = endOfLiteral(text, at, character);
      if (at < 0) return -1;
    } else if (character === '(') depth++;
    else if (character === ')' && --depth === 0) return at + 1;
  }
  return -1;
}

function endOfLiteral(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === quote) return at;
  }
  return -1;
}
