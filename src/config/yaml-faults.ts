/** What is wrong with text that is not YAML, and what to write instead, by the parser's code. */
const FAULTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab indents the line; indent with spaces',
  BAD_INDENT:
    'the line begins in another column than those it belongs to, or a bracket before it is not closed; begin keys of one level in the same column',
  MULTILINE_IMPLICIT_KEY:
    "a key has no value, or a list stands among keys; write 'key: value', with a space after the colon",
  BLOCK_AS_IMPLICIT_KEY:
    'one line has two keys, or the next line is indented below a value; write each key on a line of its own, and a value with a colon in quotes',
  MISSING_CHAR: 'a quote or a bracket is not closed, or a key has no colon; close it or add it',
  MULTIPLE_DOCS: 'a second document begins here; leave out the line with ---',
  UNEXPECTED_TOKEN: 'this does not belong to what stands before it; check the indentation',
  TAG_RESOLVE_FAILED: 'a value begins with !, which marks a type; write the value in quotes',
  BAD_SCALAR_START:
    'a value begins with a character that YAML keeps for itself; write it in quotes',
  BAD_DQ_ESCAPE:
    "a backslash in double quotes begins no known sign; write the value in 'single quotes'",
  KEY_OVER_1024_CHARS: 'a key is longer than 1,024 characters; is a line break missing?',
};

/**
 * @param code of the parser's error
 * @param words the parser's own, where we have none
 */
export const yamlFault = (code: string, words: string): string =>
  FAULTS[code] ?? words.replaceAll(/\p{Cc}+/gu, ' ').slice(0, 200);
