/** From linker names to names as their authors wrote them. */
import type { FrameType } from '../profile/model.ts';
import { cleanName } from './clean-name.ts';
import { demangleD } from './d-demangle.ts';

/**
 * The name as written in the source, or '' when `systemName` is not mangled,
 * is not understood or would take too long. The addon provides it.
 */
export type Demangler = (systemName: string) => string;

/** For where there is no addon: every name is shown as the linker knows it. */
export const noDemangler: Demangler = () => '';

const MANGLED = /^(?:_Z|_R|__Z|__R|_GLOBAL__[._$][ID]_)/;
const D_NAME = /^_D(?:[0-9]|__[TU]|main$)/;
/** Hash of the older Rust scheme, with what LLVM may append: `…17h0123456789abcdefE.llvm.42`. */
const RUST_LEGACY = /^_?_ZN.*17h[0-9a-f]{16}E(?:\.[A-Za-z0-9_.]+)?$/s;
/** v0: `_R`, an optional decimal version, then a path, which begins with one of these. */
const RUST_V0 = /^_?_R[0-9]*[A-Z]/;
/** GNU symbol versions: ld writes them into .symtab names (`memcpy@@GLIBC_2.14`). */
const VERSION = /@{1,2}[A-Za-z0-9_.+-]+$/;

/** The name without its GNU symbol version. */
export function withoutVersion(systemName: string): string {
  const at = systemName.indexOf('@');
  return at <= 0 ? systemName : systemName.replace(VERSION, '');
}

/** How to show a linker name: demangled when possible, always clean and bounded. */
export function displayName(systemName: string, demangle: Demangler): string {
  const plain = withoutVersion(systemName);
  const isD = D_NAME.test(plain);
  if (!isD && !MANGLED.test(plain)) return cleanName(plain);
  const demangled = isD ? demangleD(plain) : demangle(plain);
  return cleanName(demangled === '' ? plain : demangled);
}

/** Rust when the mangling says so; C and C++ cannot be told apart from anything else. */
export function frameTypeOf(systemName: string): FrameType & ('rust' | 'native') {
  const plain = withoutVersion(systemName);
  return RUST_V0.test(plain) || RUST_LEGACY.test(plain) ? 'rust' : 'native';
}

/** Characters kept by cachingDemangler unless said otherwise: about 4 MiB. */
const CACHE_CHARACTERS = 2 << 20;

/**
 * A demangler that remembers answers, the least recently used forgotten first,
 * up to `maxCharacters` of names (keys and answers).
 */
export function cachingDemangler(demangle: Demangler, maxCharacters = CACHE_CHARACTERS): Demangler {
  const known = new Map<string, string>();
  let characters = 0;
  return (systemName) => {
    const hit = known.get(systemName);
    if (hit !== undefined) {
      known.delete(systemName);
      known.set(systemName, hit);
      return hit;
    }
    const answer = demangle(systemName);
    known.set(systemName, answer);
    characters += systemName.length + answer.length;
    for (const [key, value] of known) {
      if (characters <= maxCharacters) break;
      known.delete(key);
      characters -= key.length + value.length;
    }
    return answer;
  };
}
