/** Names of labels that samples can have. */
import { KEY_BYTES } from '../capture/record.ts';
import { text } from './kind.ts';

/** Labels that need nothing of the program, and the ids of its requests. */
export const LABELS = [
  'thread',
  'goroutine',
  'goroutine_created_by',
  'goroutine_kind',
  'trace_id',
  'span_id',
] as const;

/** Any other is the program's own, such as a label of Go's pprof.Do(). What lists are written with is in none. */
export const labelName = text(
  `one of ${LABELS.join(', ')}, or what programs set, at most ${KEY_BYTES} bytes`,
  (name) =>
    Buffer.byteLength(name) <= KEY_BYTES &&
    /^[^\p{C}\s,[\]{}"'#:]([^\p{C},[\]{}"'#:]*[^\p{C}\s,[\]{}"'#:])?$/u.test(name),
);
