/** Text of anybody as a terminal may have it. */

/** Characters that act on the terminal, or that reorder or hide what is around them, become U+FFFD. */
export function printable(text: string): string {
  return text.toWellFormed().replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
}
