/** Finding the end of a bracketed part of a demangled name. */

const Code = { Open: 0x3c, Close: 0x3e, Minus: 0x2d, ParenOpen: 0x28, ParenClose: 0x29 } as const;
const WORD = /[\w$~\u0080-\uffff]+/y;
/** What may follow `operator` and is not a type. */
const OPERATOR =
  /(?:\(\)|\[\]|<=>|<<=|>>=|->\*|<<|>>|<=|>=|->|&&|\|\||\+\+|--|==|!=|[-+*/%^&|]=|[-+*/%^&|~!=<>,]|"" ?[\w$\u0080-\uffff]+| (?:new|delete)(?:\[\])?(?![\w$])| co_await(?![\w$]))/y;

/** The identifier at `at`, '' when there is none. */
export function wordAt(text: string, at: number): string {
  WORD.lastIndex = at;
  return WORD.exec(text)?.[0] ?? '';
}

/** The symbol of the operator whose `operator` ends at `at`; '' when a type follows. */
export function operatorAt(text: string, at: number): string {
  OPERATOR.lastIndex = at;
  return OPERATOR.exec(text)?.[0] ?? '';
}

const CLOSER: Readonly<Record<string, string>> = { '<': '>', '(': ')', '[': ']', '{': '}' };

/**
 * Index after the bracket that closes the one at `open`, -1 when there is none.
 * Comparisons and shifts in template arguments are told from brackets: the
 * demangler writes their operands in parentheses.
 */
export function afterClosing(text: string, open: number): number {
  const expected: string[] = [];
  for (let at = open; at < text.length; ) {
    const character = text[at]!;
    const code = text.charCodeAt(at);
    if (isWordStart(code)) {
      const word = wordAt(text, at);
      at += word.length;
      if (word === 'operator') at += operatorAt(text, at).length;
      continue;
    }
    at++;
    if (code === Code.Minus && text.charCodeAt(at) === Code.Close) {
      at++;
      continue;
    }
    if (code === Code.Open && text.charCodeAt(at - 2) === Code.ParenClose) {
      while (text.charCodeAt(at) === Code.Open) at++;
      if (text[at] === '=') at++;
      if (text.charCodeAt(at) === Code.ParenOpen) continue;
    }
    const closer = CLOSER[character];
    if (closer !== undefined) expected.push(closer);
    else if (character === expected.at(-1)) {
      expected.pop();
      if (expected.length === 0) return at;
    } else if (character === ')' || character === ']' || character === '}') return -1;
  }
  return -1;
}

function isWordStart(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x5f ||
    code === 0x24 ||
    code === 0x7e ||
    code >= 0x80
  );
}
