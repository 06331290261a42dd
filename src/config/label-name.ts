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

/** Any other is the program's own, such as a label of Go's pprof.Do(). */
export const labelName = text(
  `a label: ${LABELS.join(', ')}, or one that programs set, of at most ${KEY_BYTES} bytes`,
  (name) => name !== '' && Buffer.byteLength(name) <= KEY_BYTES && !/[\p{Cc}\p{Cs}]/u.test(name),
);
