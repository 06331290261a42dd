/** What run times write into perf maps, read back: language, function, file, line. */
import type { FrameType } from '../profile/model.ts';
import { cleanName } from './clean-name.ts';
import type { SourceLine } from './source-line.ts';

export interface JitSymbol {
  readonly type: FrameType & ('v8js' | 'cpython' | 'jit');
  readonly line: SourceLine;
}

/**
 * V8 (`--perf-basic-prof`): `KIND:` then, for JavaScript, a sign for the tier
 * (~ interpreted, ^ baseline, + mid, * optimized; with ' when compiled for one
 * closure), the name, a space and `file:line:column`. Node 18 says
 * `LazyCompile` where later ones say `JS`.
 */
const V8_JAVASCRIPT =
  /^(JS|LazyCompile|Function|Script|Eval|NativeLazyCompile|NativeFunction|NativeScript):(?:[~^+*]'?)?(.*)$/su;
const V8_OTHER = /^(?:Builtin|BytecodeHandler|Handler|Stub|Callback|RegExp|WasmStub|Wasm|CWasm):/;
const V8_POSITION = /:(\d{1,10}):(\d{1,10})$/;
/** Where the file begins: names may have spaces (`get size`), and so may paths. */
const V8_FILE = / (?=\/|node:|[a-z][a-z0-9+.-]{1,31}:\/\/)/;
const V8_SCRIPT = /^(?:Native)?(?:Script|Eval)$/;
/** CPython's trampoline (`-X perf`): `py::qualified.name:/path/file.py`. */
const PYTHON = /^py::([^:]*):(.*)$/su;

/** @param text The entry's name, clean already. */
export function parseJitName(text: string): JitSymbol {
  const script = V8_JAVASCRIPT.exec(text);
  if (script !== null) return javascript(text, script[1]!, script[2]!);
  if (V8_OTHER.test(text)) return { type: 'v8js', line: plain(text, text) };
  const python = PYTHON.exec(text);
  if (python !== null) {
    return { type: 'cpython', line: { ...plain(python[1]!, text), file: python[2]! } };
  }
  return { type: 'jit', line: plain(text, text) };
}

function javascript(text: string, kind: string, rest: string): JitSymbol {
  const position = V8_POSITION.exec(rest);
  const before = position === null ? rest : rest.slice(0, position.index);
  const space = position === null ? before.length : fileStart(before);
  const written = before.slice(0, space).trim();
  // A module's body is a function without a name at the very beginning of its file.
  const isBody = V8_SCRIPT.test(kind) || position?.[0] === ':1:1';
  const name = written !== '' ? written : isBody ? '(top level)' : '(anonymous)';
  const line = boundedInteger(position?.[1]);
  return {
    type: 'v8js',
    line: {
      name: cleanName(name),
      systemName: text,
      file: filePath(before.slice(space + 1)),
      // The position is where the function begins; which of its lines runs is not known.
      line,
      column: boundedInteger(position?.[2]),
      startLine: line,
    },
  };
}

/** The blank before the file; eval'd code has odd file names, without blanks as a rule. */
function fileStart(text: string): number {
  const known = V8_FILE.exec(text);
  return known !== null ? known.index : text.lastIndexOf(' ');
}

/** `file:///a%20b.js` is `/a b.js`; other URLs stay as they are. */
export function filePath(url: string): string {
  if (!url.startsWith('file:///')) return url;
  try {
    return cleanName(decodeURIComponent(url.slice('file://'.length)));
  } catch {
    return url; // A stray percent sign.
  }
}

function boundedInteger(digits: string | undefined): number {
  const value = Number(digits ?? 0);
  return value <= 0xffff_ffff ? value : 0;
}

function plain(name: string, systemName: string): SourceLine {
  return { name, systemName, file: '', line: 0, column: 0, startLine: 0 };
}
