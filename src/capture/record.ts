/**
 * The layout of bpf/record.h for TypeScript: offsets, codes and names.
 * test/layout.test.ts compiles the header and proves every one of them equal.
 */

export const RecordType = {
  Sample: 1,
  Deferred: 2,
  Exec: 3,
  Exit: 4,
  Fork: 5,
  Context: 6,
} as const;

/** `enum ft_end` by name, in its order. */
export const END_REASONS = [
  'root',
  'no_user',
  'depth_limit',
  'no_mapping',
  'no_table',
  'no_unwind_info',
  'stack_unreadable',
  'complex_rule',
  'bad_frame',
  'unknown_process',
  'no_registers',
  'compat_mode',
  'stack_copy_short',
  'frame_pointer_end',
  'unreadable_file',
  'go_stack_switch',
  'process_gone',
  'not_followed',
] as const;
export type EndReason = (typeof END_REASONS)[number];

/** `enum ft_counter` by name, in its order. */
export const COUNTERS = [
  'ticks',
  'idle',
  'out_of_scope',
  'sent',
  'deferred',
  'ring_full',
  'no_ring',
  'no_scratch',
  'swallowed',
  'event_ring_full',
  'process_map_full',
  'kernel_stack_failed',
  'copy_refused',
  'user_frames',
  'late',
  'forks_untold',
] as const;
export type Counter = (typeof COUNTERS)[number];
/** Those that count samples lost. */
export const LOST_COUNTERS = ['ring_full', 'no_ring', 'no_scratch', 'swallowed'] as const;

/** `enum ft_go_state` by name, in its order. */
export const GO_STATES = [
  'none',
  'goroutine',
  'scheduler',
  'signal',
  'foreign',
  'unknown_process',
  'go_layout_unknown',
  'goroutine_unreadable',
  'goroutine_changing',
] as const;
export type GoState = (typeof GO_STATES)[number];

/** `enum ft_context` by name, in its order. */
export const CONTEXTS = [
  'none',
  'read',
  'context_too_long',
  'context_unreadable',
  'context_changing',
  'context_malformed',
  'unknown_process',
  'context_missed',
] as const;
export type ContextOutcome = (typeof CONTEXTS)[number];

export function contextCode(outcome: ContextOutcome): number {
  return CONTEXTS.indexOf(outcome);
}

export function endCode(reason: EndReason): number {
  return END_REASONS.indexOf(reason);
}

/** `struct ft_header` and what follows it; offsets in bytes from the record's start. */
export const Header = {
  length: 0,
  type: 4,
  cpu: 6,
  time: 8,
  pid: 16,
  execId: 20,
  start: 24,
  size: 32,
} as const;

/** `struct ft_sample`. */
export const Sample = {
  tid: 32,
  layout: 36,
  kernelCount: 40,
  userCount: 42,
  end: 44,
  flags: 46,
  thread: 48,
  comm: 64,
  cgroupId: 80,
  goid: 88,
  goCreator: 96,
  goStart: 104,
  goState: 112,
  labelBytes: 116,
  context: 118,
  size: 120,
} as const;

/** `struct ft_label`: a value follows, and zeros up to a multiple of 8. */
export const LabelEntry = { key: 0, bytes: 2, size: 4 } as const;
/** `LabelEntry.key`: the value is an OTEP 4947 record as it lies in memory. */
export const LABEL_THREAD_CONTEXT = 0xff01;
/** The longest key that can be wanted, in bytes, and how many there can be. */
export const KEY_BYTES = 32;
export const WANTED_KEYS = 64;

/** `struct ft_stack`, from its own start. */
export const StackCopy = {
  registers: 0,
  fsBase: 136,
  base: 144,
  bytes: 152,
  go: 160,
  size: 1416,
} as const;

/** `struct ft_go_copy`, from its own start. */
export const GoCopy = { g: 0, gWords: 8, mWords: 328, curgWords: 616, size: 1256 } as const;
/** Bytes of a g that are copied, and offset in m of the first of the two that may be curg. */
export const GO_COPY_G_BYTES = 320;
export const GO_COPY_CURG = 184;

/** `struct ft_process_event`. */
export const ProcessEvent = {
  parentPid: 32,
  parentExecId: 36,
  parentStart: 40,
  comm: 48,
  size: 64,
} as const;

/** `struct ft_process`. */
export const ProcessValue = {
  pid: 0,
  execId: 4,
  start: 8,
  first: 16,
  count: 20,
  layout: 24,
  flags: 28,
  goGOffset: 32,
  goM: 34,
  goCurg: 36,
  goSchedBp: 38,
  goGoid: 40,
  goGopc: 42,
  goGsignal: 44,
  goInC: 46,
  goLabels: 48,
  goLabelsForm: 50,
  node: 52,
  threadContext: 56,
  customLabels: 72,
  nodeContext: 88,
  copiesFrom: 104,
  used: 112,
  size: 120,
} as const;

/** `struct ft_tls`. */
export const TlsValue = {
  offset: 0,
  generation: 8,
  module: 12,
  dtvStep: 14,
  kind: 15,
  size: 16,
} as const;
export const TlsKind = { None: 0, Static: 1, Dynamic: 2 } as const;
/** `struct ft_node_layout`. */
export const NodeLayoutValue = {
  isolate: 0,
  continuation: 8,
  hash: 12,
  mapType: 16,
  form: 18,
  size: 24,
} as const;
/** `enum ft_node_form`. */
export const NodeForm = { ThreadContext: 1, CustomLabels: 2 } as const;
/** Elements of `ft_node_layouts`. */
export const NODE_LAYOUTS = 256;
export const GoLabelsForm = { Map: 1, Slice: 2 } as const;

/** Flags of `struct ft_process`: a Go program whose layout is not known. */
export const PROCESS_GO_UNKNOWN = 1;

/** `struct ft_mapping`. */
export const MappingValue = { start: 0, end: 8, bias: 16, file: 24, kind: 28, size: 32 } as const;
export const MappingKind = { File: 0, Anonymous: 1, Unreadable: 2 } as const;

/** `struct ft_file`. */
export const FileValue = {
  callDirectory: 0,
  callRegions: 4,
  fullDirectory: 8,
  fullRegions: 12,
  size: 16,
} as const;

export const FULL_REGION_SHIFT = 16;
export const FULL_PAGE_SHIFT = 10;
export const CALL_REGION_SHIFT = 18;
export const CALL_PAGE_SHIFT = 12;
export const PAGES_PER_REGION = 64;
export const MAX_USER_FRAMES = 1024;
export const REGISTER_COUNT = 17;

/** Flags of a sample record: the copy of its stack is shorter than wanted. */
export const FLAG_STACK_CUT = 2;
/** A deferred sample's registers are those of an exact pc. */
export const FLAG_EXACT_START = 4;
/** Upper half of a user address word that is an exact pc, not a return address. */
export const EXACT_PC_HIGH = 0x8000_0000;
/** A sample unwound in user space carries why, plus one, in the upper byte of its flags. */
export const DEFERRED_SHIFT = 8;
