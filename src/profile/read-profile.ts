/** Reads files that Flametap wrote: pprof, OTLP and JSON, told apart by what is in them. */
import { gunzipSync } from 'node:zlib';
import { ProtobufError, protobufFields } from '../protobuf/protobuf-reader.ts';
import type { Profile } from './model.ts';
import { readJson } from './read-json.ts';
import { readOtlp } from './read-otlp.ts';
import { readPprof } from './read-pprof.ts';
import { ProfileFileError } from './rebuild.ts';

/** A small file may unpack to anything. */
const MOST_UNPACKED = 2 ** 30;

/** @throws ProfileFileError */
export function readProfile(content: Uint8Array): Profile {
  const bytes = unpacked(content);
  if (bytes.length === 0) throw new ProfileFileError('it is empty');
  const beginning = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(64, bytes.length));
  if (/^\s*\{/.test(beginning.toString('latin1'))) return readJson(new TextDecoder().decode(bytes));
  if (/^\s*</.test(beginning.toString('latin1'))) {
    throw new ProfileFileError('a page, which has no samples: open it in a browser');
  }
  // An OTLP request has two fields only.
  let highest = 0;
  try {
    for (const { number } of protobufFields(bytes)) highest = Math.max(highest, number);
  } catch (error) {
    if (error instanceof ProtobufError) {
      throw new ProfileFileError('neither pprof nor OTLP nor JSON of Flametap');
    }
    throw error;
  }
  return highest > 2 ? readPprof(bytes) : readOtlp(bytes);
}

function unpacked(content: Uint8Array): Uint8Array {
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content;
  try {
    return gunzipSync(content, { maxOutputLength: MOST_UNPACKED });
  } catch (error) {
    throw new ProfileFileError(`damaged gzip: ${error instanceof Error ? error.message : error}`);
  }
}
