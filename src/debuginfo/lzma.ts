/** Decompression of .xz by the system's liblzma, which is loaded when it is needed. */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type * as Ffi from 'ffi-rs';
import { type ByteSource, ParseError } from '../elf/source.ts';
import { xzContentSize } from '../elf/xz-size.ts';

const MODULE = 'ffi-rs';
const LIBRARY = 'lzma';
const FILE = 'liblzma.so.5';
/** `xz -9` needs 65 MiB to decompress. */
const MEMORY_LIMIT = 80n << 20n;

/** dlopen(3), glibc and musl. */
const RTLD_NODELETE = 0x1000;

/** lzma_ret of lzma/base.h. */
const OK = 0;
const MEMORY_ERROR = 5;
const MEMORY_LIMIT_ERROR = 6;

/**
 * The contents of an .xz file with one stream.
 * @throws ParseError `liblzma_missing`, `xz_data`, `xz_memory`, `xz_too_big` (more than `maximum` bytes).
 */
export function decompressXz(source: ByteSource, maximum: number): Uint8Array {
  const size = xzContentSize(source);
  if (size > maximum || source.size > maximum) {
    throw new ParseError('xz_too_big', `${size} bytes, at most ${maximum} are taken`);
  }
  const ffi = load();
  // Never of length 0: the library shall always get a pointer.
  const input = Buffer.from(source.read(0, source.size));
  const output = Buffer.alloc(size + 1);
  const memory = Buffer.alloc(8);
  memory.writeBigUInt64LE(MEMORY_LIMIT);
  const inputAt = Buffer.alloc(8);
  const outputAt = Buffer.alloc(8);
  const { U8Array, U32, U64, I32 } = ffi.DataType;
  const allocator = 0;
  const flags = 0;
  const result = ffi.load({
    library: LIBRARY,
    funcName: 'lzma_stream_buffer_decode',
    retType: I32,
    paramsType: [U8Array, U32, U64, U8Array, U8Array, U64, U8Array, U8Array, U64],
    paramsValue: [
      memory,
      flags,
      allocator,
      input,
      inputAt,
      input.length,
      output,
      outputAt,
      output.length,
    ],
  });
  if (result === MEMORY_ERROR || result === MEMORY_LIMIT_ERROR) {
    throw new ParseError('xz_memory', `needs more than ${MEMORY_LIMIT} bytes of memory`);
  }
  const written = Number(outputAt.readBigUInt64LE());
  if (result !== OK || written !== size) {
    throw new ParseError('xz_data', `liblzma says ${result} after ${written} of ${size} bytes`);
  }
  return output.subarray(0, size);
}

function load(): typeof Ffi {
  try {
    // Not bundled: it has machine code beside it.
    const require = createRequire(import.meta.url);
    const entry = require.resolve(MODULE);
    if (require.cache[entry] === undefined) pin(createRequire(entry));
    const ffi: typeof Ffi = require(MODULE);
    ffi.open({ library: LIBRARY, path: FILE });
    return ffi;
  } catch (cause) {
    throw new ParseError('liblzma_missing', String(cause), { cause });
  }
}

/**
 * Keeps ffi-rs in memory for good. Node unloads it with the last thread that
 * used it; only then does that thread run the destructors of its thread-local
 * variables, whose code is gone: a segmentation fault.
 */
function pin(require: NodeJS.Require): void {
  const failures: unknown[] = [];
  for (const libc of ['gnu', 'musl']) {
    try {
      const file = require.resolve(`@yuuang/ffi-rs-linux-${process.arch}-${libc}`);
      process.dlopen({ exports: {} }, file, constants.dlopen.RTLD_LAZY | RTLD_NODELETE);
      return;
    } catch (cause) {
      failures.push(cause);
    }
  }
  throw new AggregateError(failures, 'ffi-rs has nothing for this machine');
}
