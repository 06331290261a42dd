/** Short forms of Rust names of both mangling schemes. */
import { afterClosing } from './brackets.ts';

/** `<<<T as A>::B as C>::D as E>::f` beyond this is shown as `<...>::f`. */
const MAX_DEPTH = 8;
const FOLDED = '<...>';
const NAME_END = /[\w$:>\u0080-\uffff]/;
const IMPLEMENTATION = '<impl ';

/**
 * Generic arguments folded, the type and trait of a method kept:
 * `<alloc::vec::Vec<u8> as core::clone::Clone>::clone` becomes
 * `<alloc::vec::Vec<...> as core::clone::Clone>::clone`.
 */
export function shortRustName(name: string): string {
  return shorten(name, 0);
}

function shorten(name: string, depth: number): string {
  let out = '';
  let copied = 0;
  for (let at = name.indexOf('<'); at >= 0; at = name.indexOf('<', copied)) {
    const end = afterClosing(name, at);
    if (end < 0) break;
    out += name.slice(copied, at);
    const isArguments = NAME_END.test(name[at - 1] ?? ' ') && !name.startsWith(IMPLEMENTATION, at);
    out +=
      isArguments || depth === MAX_DEPTH
        ? FOLDED
        : `<${shorten(name.slice(at + 1, end - 1), depth + 1)}>`;
    copied = end;
  }
  return out + name.slice(copied);
}
