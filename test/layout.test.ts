import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as record from '../src/capture/record.ts';
import { endReasonCodes } from '../src/profile/end-reason.ts';
import * as rule from '../src/unwind/rule.ts';

/** By name, as the tables below are. */
const mirror = { ...record };
const HEADER_FOLDER = join(import.meta.dirname, '../bpf');

/** How the constants of record.ts are spelled in C: struct, then [name here, name there]. */
const STRUCTS = {
  Header: [
    'ft_header',
    {
      length: 'length',
      type: 'type',
      cpu: 'cpu',
      time: 'time_ns',
      pid: 'process.pid',
      execId: 'process.exec_id',
      start: 'process.start_ns',
    },
  ],
  Sample: [
    'ft_sample',
    {
      tid: 'tid',
      layout: 'layout',
      kernelCount: 'kernel_count',
      userCount: 'user_count',
      end: 'end',
      flags: 'flags',
      thread: 'thread',
      comm: 'comm',
      cgroupId: 'cgroup_id',
      goid: 'goid',
      goCreator: 'go_creator',
      goStart: 'go_start',
      goState: 'go_state',
      labelBytes: 'label_bytes',
      context: 'context',
    },
  ],
  StackCopy: [
    'ft_stack',
    { registers: 'registers', fsBase: 'fs_base', base: 'base', bytes: 'bytes', go: 'go' },
  ],
  GoCopy: ['ft_go_copy', { g: 'g', gWords: 'g_words', mWords: 'm_words', curgWords: 'curg_words' }],
  ProcessEvent: [
    'ft_process_event',
    {
      parentPid: 'parent_pid',
      parentExecId: 'parent_exec_id',
      parentStart: 'parent_start_ns',
      comm: 'comm',
    },
  ],
  ProcessValue: [
    'ft_process',
    {
      pid: 'identity.pid',
      execId: 'identity.exec_id',
      start: 'identity.start_ns',
      first: 'first',
      count: 'count',
      layout: 'layout',
      flags: 'flags',
      goGOffset: 'go_g_offset',
      goM: 'go_m',
      goCurg: 'go_curg',
      goSchedBp: 'go_sched_bp',
      goGoid: 'go_goid',
      goGopc: 'go_gopc',
      goGsignal: 'go_gsignal',
      goInC: 'go_in_c',
      goLabels: 'go_labels',
      goLabelsForm: 'go_labels_form',
      node: 'node',
      threadContext: 'thread_context',
      customLabels: 'custom_labels',
      nodeContext: 'node_context',
      copiesFrom: 'copies_from_ns',
      used: 'used_ns',
    },
  ],
  NodeLayoutValue: [
    'ft_node_layout',
    {
      isolate: 'isolate',
      continuation: 'continuation',
      hash: 'hash',
      mapType: 'map_type',
      form: 'form',
    },
  ],
  TlsValue: [
    'ft_tls',
    {
      offset: 'offset',
      generation: 'generation',
      module: 'module',
      dtvStep: 'dtv_step',
      kind: 'kind',
    },
  ],
  MappingValue: [
    'ft_mapping',
    { start: 'start', end: 'end', bias: 'bias', file: 'file', kind: 'kind' },
  ],
  FileValue: [
    'ft_file',
    {
      callDirectory: 'call_directory',
      callRegions: 'call_regions',
      fullDirectory: 'full_directory',
      fullRegions: 'full_regions',
    },
  ],
} as const;

const NUMBERS = {
  FULL_REGION_SHIFT: 'FT_FULL_REGION_SHIFT',
  FULL_PAGE_SHIFT: 'FT_FULL_PAGE_SHIFT',
  CALL_REGION_SHIFT: 'FT_CALL_REGION_SHIFT',
  CALL_PAGE_SHIFT: 'FT_CALL_PAGE_SHIFT',
  PAGES_PER_REGION: 'FT_PAGES_PER_REGION',
  MAX_USER_FRAMES: 'FT_MAX_USER_FRAMES',
  REGISTER_COUNT: 'FT_REGISTER_COUNT',
  GO_COPY_G_BYTES: 'FT_GO_G_WORDS * 8',
  GO_COPY_CURG: 'FT_GO_CURG_OFFSET',
  LABEL_THREAD_CONTEXT: 'FT_LABEL_THREAD_CONTEXT',
  KEY_BYTES: 'FT_KEY_BYTES',
  WANTED_KEYS: 'FT_WANTED_KEYS',
  NODE_LAYOUTS: 'FT_NODE_LAYOUTS',
  PROCESS_GO_UNKNOWN: 'FT_PROCESS_GO_UNKNOWN',
  FLAG_STACK_CUT: 'FT_SAMPLE_STACK_CUT',
  FLAG_EXACT_START: 'FT_SAMPLE_EXACT_START',
} as const;

/** Names that the C side spells in capitals with underscores. */
const capitals = (name: string): string => name.replace(/(?<=.)([A-Z])/g, '_$1').toUpperCase();

/** `enum` constants by the object here, and the prefix and names there. */
const ENUMS = {
  RecordType: [record.RecordType, 'FT_RECORD_', {}],
  Rule: [rule.Rule, 'FT_RULE_', {}],
  MappingKind: [record.MappingKind, 'FT_MAPPING_', { Anonymous: 'ANON' }],
  TlsKind: [record.TlsKind, 'FT_TLS_', {}],
  GoLabelsForm: [record.GoLabelsForm, 'FT_GO_LABELS_', {}],
  NodeForm: [record.NodeForm, 'FT_NODE_', {}],
} as const satisfies Record<
  string,
  readonly [Readonly<Record<string, number>>, string, Readonly<Record<string, string>>]
>;

const cName = (name: string, prefix: string, renamed: Readonly<Record<string, string>>): string =>
  `${prefix}${renamed[name] ?? capitals(name)}`;

function program(): string {
  const lines: string[] = [];
  const say = (key: string, expression: string) =>
    lines.push(`printf("%s %llu\\n", "${key}", (unsigned long long)(${expression}));`);
  for (const [name, [struct, fields]] of Object.entries(STRUCTS)) {
    say(`${name}.size`, `sizeof(struct ${struct})`);
    for (const [field, member] of Object.entries(fields)) {
      say(`${name}.${field}`, `offsetof(struct ${struct}, ${member})`);
    }
  }
  for (const [name, macro] of Object.entries(NUMBERS)) say(name, macro);
  for (const [name, [values, prefix, renamed]] of Object.entries(ENUMS)) {
    for (const key of Object.keys(values)) say(`${name}.${key}`, cName(key, prefix, renamed));
  }
  say('RBP_SAME', 'FT_RBP_SAME');
  say('RBP_AT_RBP', 'FT_RBP_AT_RBP');
  say('EXACT_PC_HIGH', 'FT_EXACT_PC >> 32');
  say('exact pc, low half', 'FT_EXACT_PC & 0xffffffff');
  say('end reasons', 'FT_END_COUNT');
  say('counters', 'FT_COUNTER_COUNT');
  say('go states', 'FT_GO_STATE_COUNT');
  say('contexts', 'FT_CONTEXT_COUNT');
  // Less than 8 bytes: not among the structures.
  say('LabelEntry.key', 'offsetof(struct ft_label, key)');
  say('LabelEntry.bytes', 'offsetof(struct ft_label, bytes)');
  say('LabelEntry.size', 'sizeof(struct ft_label)');
  return `#include <stddef.h>
#include <stdio.h>
#include "record.h"
#define ONE(value) _Static_assert(sizeof(struct value) % 8 == 0, "padding");
${Object.values(STRUCTS)
  .map(([struct]) => `ONE(${struct})`)
  .join('\n')}
int main(void) {
${lines.join('\n')}
#define X(name, text) printf("end.%d %s\\n", FT_END_##name, #text);
FT_END_REASONS(X)
#undef X
#define X(name, text) printf("counter.%d %s\\n", FT_COUNTER_##name, #text);
FT_COUNTERS(X)
#undef X
#define X(name, text) printf("go.%d %s\\n", FT_GO_##name, #text);
FT_GO_STATES(X)
#undef X
#define X(name, text) printf("context.%d %s\\n", FT_CONTEXT_##name, #text);
FT_CONTEXTS(X)
#undef X
}
`;
}

let folder = '';
const header = new Map<string, string>();

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'flametap-layout-'));
  const [source, binary] = [join(folder, 'layout.c'), join(folder, 'layout')];
  writeFileSync(source, program());
  // -Wpadded: a hole between members is a byte that nobody owns.
  const flags = ['-std=c11', '-Wall', '-Wextra', '-Wpadded', '-Werror'];
  execFileSync('cc', [...flags, `-I${HEADER_FOLDER}`, source, '-o', binary]);
  for (const line of execFileSync(binary, { encoding: 'utf8' }).trimEnd().split('\n')) {
    const [key, value] = line.split(/ (?=\S+$)/);
    header.set(key!, value!);
  }
});

after(() => rmSync(folder, { recursive: true }));

/** Values of the header under `prefix`, as numbers. */
function ofHeader(prefix: string): Record<string, number> {
  const found = [...header].filter(([key]) => key.startsWith(`${prefix}.`));
  return Object.fromEntries(found.map(([key, value]) => [key.slice(prefix.length + 1), +value]));
}

for (const name of Object.keys(STRUCTS) as (keyof typeof STRUCTS)[]) {
  test(`${name}: every offset and the size are those of struct ${STRUCTS[name][0]}`, () => {
    assert.deepEqual({ ...mirror[name] }, ofHeader(name));
  });
}

for (const name of Object.keys(ENUMS) as (keyof typeof ENUMS)[]) {
  test(`${name}: every code is the header's, and the header has no other`, () => {
    const [values, prefix, renamed] = ENUMS[name];
    assert.deepEqual({ ...values }, ofHeader(name));
    const text = execFileSync('cc', ['-E', '-P', join(HEADER_FOLDER, 'record.h')], {
      encoding: 'utf8',
    });
    const there = new Set(text.match(new RegExp(`\\b${prefix}[A-Z_]+\\b(?=\\s*=)`, 'g')));
    assert.deepEqual(there, new Set(Object.keys(values).map((key) => cName(key, prefix, renamed))));
  });
}

test('limits, shifts and flags are the header’s', () => {
  for (const name of Object.keys(NUMBERS) as (keyof typeof NUMBERS)[]) {
    assert.equal(mirror[name], +header.get(name)!, name);
  }
  assert.equal(rule.RBP_SAME, +header.get('RBP_SAME')!);
  assert.equal(rule.RBP_AT_RBP, +header.get('RBP_AT_RBP')!);
  assert.equal(record.EXACT_PC_HIGH, +header.get('EXACT_PC_HIGH')!);
  assert.equal(+header.get('exact pc, low half')!, 0);
});

test('flags of the header leave the byte free in which the reason of a deferral travels', () => {
  const text = execFileSync('cc', ['-E', '-dM', join(HEADER_FOLDER, 'record.h')], {
    encoding: 'utf8',
  });
  const flags = [...text.matchAll(/#define FT_SAMPLE_\w+ (\d+)u/g)].map((match) => +match[1]!);
  assert.equal(flags.length, 3);
  assert.ok(flags.every((flag) => flag < 2 ** record.DEFERRED_SHIFT));
  // One more than the code must fit into the byte.
  assert.ok(record.END_REASONS.length < 255);
});

test('end reasons: same names in the same order on both sides and in profiles', () => {
  const names = Array.from({ length: +header.get('end reasons')! }, (_, i) =>
    header.get(`end.${i}`),
  );
  assert.deepEqual(names, [...record.END_REASONS]);
  assert.deepEqual(names, [...endReasonCodes]);
});

test('counters: same names in the same order', () => {
  const names = Array.from({ length: +header.get('counters')! }, (_, i) =>
    header.get(`counter.${i}`),
  );
  assert.deepEqual(names, [...record.COUNTERS]);
});

test('states of a Go thread: same names in the same order', () => {
  const names = Array.from({ length: +header.get('go states')! }, (_, i) => header.get(`go.${i}`));
  assert.deepEqual(names, [...record.GO_STATES]);
});

test('outcomes of reading labels: same names in the same order', () => {
  const names = Array.from({ length: +header.get('contexts')! }, (_, i) =>
    header.get(`context.${i}`),
  );
  assert.deepEqual(names, [...record.CONTEXTS]);
});

test('LabelEntry: offsets and size are those of struct ft_label', () => {
  assert.deepEqual({ ...record.LabelEntry }, ofHeader('LabelEntry'));
});

test('rules are packed as the kernel takes them apart', () => {
  // As bpf/unwind.h: kind rule & 15, rbp (rule >> 4) & 255, then per kind.
  const offset = rule.encodeOffsetRule(rule.Rule.Rbp, 255, -4096);
  assert.deepEqual([offset & 15, (offset >> 4) & 255, (offset >> 12) * 8], [2, 255, -4096]);
  const deref = rule.encodeDerefRule(rule.Rule.RspDeref, 3, -2048 * 8, 255 * 8);
  assert.deepEqual(
    [deref & 15, (deref >> 4) & 255, ((deref << 8) >> 20) * 8, (deref >>> 24) * 8],
    [6, 3, -2048 * 8, 255 * 8],
  );
  const register = rule.encodeRegisterRule(2, 15, -32768 * 8);
  assert.deepEqual(
    [register & 15, (register >> 4) & 255, (register >>> 12) & 15, (register >> 16) * 8],
    [8, 2, 15, -32768 * 8],
  );
  assert.equal(rule.ruleOffset(offset), -4096);
  assert.equal(rule.ruleDerefOffset(deref), -2048 * 8);
  assert.equal(rule.ruleDerefAdd(deref), 255 * 8);
  assert.equal(rule.ruleRegister(register), 15);
  assert.equal(rule.ruleRegisterOffset(register), -32768 * 8);
  assert.equal(rule.ruleRbp(deref), 3);
  assert.equal(rule.ruleKind(rule.encodePlainRule(rule.Rule.End)), rule.Rule.End);
});
