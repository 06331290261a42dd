/**
 * How the user part of a stack ended: FT_END_REASONS of bpf/record.h, in its
 * order (a test compares them), with the words that readers see.
 */

export interface EndReason {
  /** The reason's code, also the key in a tally. */
  readonly code: string;
  /** Undefined when the stack is whole. */
  readonly words: string | undefined;
}

const endReasons: readonly EndReason[] = [
  { code: 'root', words: undefined },
  { code: 'no_user', words: undefined },
  { code: 'depth_limit', words: 'more frames than the depth limit' },
  { code: 'no_mapping', words: 'address outside every known mapping' },
  { code: 'no_table', words: 'unwind table not loaded yet' },
  { code: 'no_unwind_info', words: 'no unwind information' },
  { code: 'stack_unreadable', words: 'stack memory could not be read' },
  { code: 'complex_rule', words: 'unwind rule too complex' },
  { code: 'bad_frame', words: 'frames out of order' },
  { code: 'unknown_process', words: 'process not known yet' },
  { code: 'no_registers', words: 'user registers out of reach' },
  { code: 'compat_mode', words: '32-bit code' },
  { code: 'stack_copy_short', words: 'copied part of the stack too short' },
  { code: 'frame_pointer_end', words: 'chain of frame pointers ended' },
  { code: 'unreadable_file', words: 'binary could not be read' },
  { code: 'go_stack_switch', words: 'Go stack switch could not be followed' },
  { code: 'process_gone', words: 'process has ended' },
  { code: 'not_followed', words: 'process too costly to follow' },
];

/** Of a stack that was whole when it came: ours, not the kernel's. */
export const TOO_MANY_ADDRESSES: EndReason = {
  code: 'too_many_addresses',
  words: 'process with too many addresses',
};

/** The codes in the order of `enum ft_end`. */
export const endReasonCodes: readonly string[] = endReasons.map((reason) => reason.code);

/** Never fails: a number without a name is a cut stack with that number. */
export function endReason(end: number): EndReason {
  return endReasons[end] ?? { code: `reason_${end}`, words: `reason ${end}` };
}

/** Name of the marker frame, such as `[stack cut: no unwind information]`; undefined for whole stacks. */
export function markerName(end: number): string | undefined {
  return markerOf(endReason(end));
}

export function markerOf({ words }: EndReason): string | undefined {
  return words === undefined ? undefined : `[stack cut: ${words}]`;
}
