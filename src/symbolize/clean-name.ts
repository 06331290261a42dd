/** Names from files and process memory as text that is safe to store, send and show. */

/** Longer names help nobody: a Rust or C++ name of 4 KiB fills fifty terminal lines. */
export const MAX_NAME_BYTES = 4096;

const ELLIPSIS = '…';
const ELLIPSIS_BYTES = 3;
const PLAIN = /^[\x20-\x7e]*$/;
/**
 * Everything that shows as nothing or acts on its surroundings: C0, C1, DEL and
 * newlines (they break logs, folded lines and terminals), format characters
 * (bidi overrides make a name read as another), line separators, lone
 * surrogates (not valid UTF-8), fillers and variation selectors.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const REPLACEMENT = '\ufffd';

/**
 * Valid, printable text of at most `maxBytes` bytes of UTF-8; what was cut ends
 * in an ellipsis. Bytes that are not UTF-8 and characters that cannot be seen
 * become U+FFFD, each one, so that two names stay as different as they were.
 */
export function cleanName(raw: Uint8Array | string, maxBytes = MAX_NAME_BYTES): string {
  const text = typeof raw === 'string' ? raw : decode(raw, maxBytes);
  if (PLAIN.test(text)) {
    return text.length <= maxBytes
      ? text
      : `${text.slice(0, maxBytes - ELLIPSIS_BYTES)}${ELLIPSIS}`;
  }
  // A character is at least one byte: more than maxBytes + 1 of them never fit.
  const visible = text.slice(0, maxBytes + 1).replace(UNPRINTABLE, REPLACEMENT);
  if (Buffer.byteLength(visible) <= maxBytes && text.length <= maxBytes + 1) return visible;
  const { read } = new TextEncoder().encodeInto(
    visible,
    new Uint8Array(Math.max(0, maxBytes - ELLIPSIS_BYTES)),
  );
  return `${visible.slice(0, read)}${ELLIPSIS}`;
}

function decode(bytes: Uint8Array, maxBytes: number): string {
  // Four bytes more than fit, so that the cut is seen and no character is halved before it.
  const part = bytes.length > maxBytes + 4 ? bytes.subarray(0, maxBytes + 4) : bytes;
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(part);
}
