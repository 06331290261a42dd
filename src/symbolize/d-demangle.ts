/**
 * D names as their authors wrote them (https://dlang.org/spec/abi.html#name_mangling).
 * libiberty's demangler for D, unlike those for C++ and Rust, writes into memory
 * without a limit, and back references double it: this one has a budget.
 */

import { DReader, NotDName } from './d-reader.ts';
import { DTypes } from './d-types.ts';

/** What the compiler appends to the names of parts of functions. */
const CLONE = /^(_D[^.]*)((?:\.[A-Za-z0-9_]+)+)$/;

/**
 * `core.atomic.cas!(int).cas(shared(int)*, int)`; '' when it is not a D name or
 * would take too long. Return types are left out, as c++filt does.
 */
export function demangleD(mangled: string): string {
  if (mangled === '_Dmain') return 'D main';
  const clone = CLONE.exec(mangled);
  const name = clone?.[1] ?? mangled;
  if (!/^_D(?:[0-9]|__[TU])/.test(name)) return '';
  const suffix = (clone?.[2] ?? '').replace(/\.[A-Za-z_]\w*(?:\.\d+)?/g, ' [clone $&]');
  try {
    const reader = new DReader(name);
    const text = new DTypes(reader).mangledName();
    return reader.atEnd ? `${text}${suffix}` : '';
  } catch (error) {
    if (!(error instanceof NotDName)) throw error;
    return '';
  }
}
