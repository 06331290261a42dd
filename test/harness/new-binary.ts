/** Copies of a binary that no profiler has seen before. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * Writes a copy of the ELF file at `path` to `target` with another GNU build
 * id, drawn from `seed`; the code stays the same. What identifies the file
 * (inode, build id, content) is new.
 */
export function copyWithNewBuildId(path: string, target: string, seed: number): void {
  const bytes = readFileSync(path);
  // the note: namesz 4, descsz 20, type NT_GNU_BUILD_ID 3, "GNU\0"
  const header = Buffer.from([4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0]);
  const at = bytes.indexOf(header);
  if (at < 0) throw new Error(`${path} has no GNU build id`);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < 20; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at + header.length + i] = state >>> 24;
  }
  writeFileSync(target, bytes);
  chmodSync(target, 0o755);
}
