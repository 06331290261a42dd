/** Demangled names made short enough for a box of a flame graph. */
import type { FrameType } from '../profile/model.ts';
import { frameTypeOf } from './demangle.ts';
import { shortCxxName } from './short-cxx-name.ts';
import { shortDName } from './short-d-name.ts';
import { shortRustName } from './short-rust-name.ts';

const CXX_NAME = /^(?:_Z|__Z|_GLOBAL__[._$][ID]_)/;
const D_NAME = /^_D(?:[0-9]|__[TU])/;
/** Suffix of a name that stands for a stub. */
const PLT = '@plt';

/**
 * Without return type, parameters and qualifiers, with template arguments as
 * `<...>`: `std::vector<...>::push_back`. What tells functions apart besides
 * these stays: operators, lambdas, anonymous namespaces, `[clone .cold]`.
 * Names of other languages and names that do not parse are returned as they are.
 */
export function shortName(name: string, systemName: string, type: FrameType): string {
  const shorten = shortener(name, systemName, type);
  if (shorten === undefined) return name;
  if (!name.endsWith(PLT)) return shorten(name);
  return `${shorten(name.slice(0, -PLT.length))}${PLT}`;
}

function shortener(
  name: string,
  systemName: string,
  type: FrameType,
): ((name: string) => string) | undefined {
  if (type !== 'native' && type !== 'rust') return undefined;
  if (name !== systemName) {
    if (frameTypeOf(systemName) === 'rust') return shortRustName;
    if (CXX_NAME.test(systemName)) return shortCxxName;
    if (D_NAME.test(systemName)) return shortDName;
  }
  // Debug information has readable names only for what was inlined or is local.
  if (!/[<(]/.test(name)) return undefined;
  return type === 'rust' ? shortRustName : shortCxxName;
}
