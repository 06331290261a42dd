import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { textOffset, virtualAddress } from '../units/units.ts';
import { RBP_SAME, Rule, ruleKind, ruleOffset, ruleRbp } from '../unwind/rule.ts';
import {
  buildGoSelf,
  type GoBuild,
  type OpenedGo,
  openGo,
  runtimeFacts,
  temporaryDirectory,
} from './go-testing.ts';

const STEPPER = new URL('../../test/programs/go-stepper.c', import.meta.url).pathname;

let directory: string;
before(() => {
  directory = temporaryDirectory();
});

/** The rule at an address, asked for alone. */
function ruleAt({ rules, image }: OpenedGo, address: number): number {
  const offset = address - image.textBase;
  let result: number | undefined;
  rules.rows(textOffset(offset), textOffset(offset + 1), (start, rule) => {
    assert.equal(start, offset);
    assert.equal(result, undefined);
    result = rule;
  });
  assert.ok(result !== undefined);
  return result;
}

const builds: [string, GoBuild][] = [
  ['plain', {}],
  ['position-independent', { mode: 'pie', stripped: true }],
  ['cgo', { external: true }],
];
for (const [title, build] of builds) {
  test(`stack depths are those of the runtime's traceback: ${title}`, () => {
    const path = buildGoSelf(directory, build);
    const opened = openGo(path);
    let compared = 0;
    for (const fact of runtimeFacts(path, opened.functions.text.start, 8000)) {
      const rule = ruleAt(opened, fact.address);
      if (ruleKind(rule) !== Rule.Rsp) continue;
      compared++;
      assert.equal(ruleOffset(rule), fact.depth + 8, `${fact.name} at ${fact.address}`);
    }
    assert.ok(compared > 7000, `only ${compared} compared`);
    assert.deepEqual([...opened.rules.problems], []);
  });
}

test('every single instruction leads to its true caller and frame pointer', () => {
  // With cgo: C calls, callbacks into Go, and stacks that move meanwhile.
  const path = buildGoSelf(directory, { external: true });
  const opened = openGo(path);
  const { functions } = opened;
  const stepper = join(directory, 'stepper');
  execFileSync('gcc', ['-O1', '-o', stepper, STEPPER]);
  const trace = join(directory, 'trace');
  const range = (name: string): number[] => {
    const { start, end } = functions.findByName(name)!;
    return [start, end];
  };
  const places = ['runtime.mcall', 'runtime.morestack', 'gogo', 'runtime.systemstack'];
  const [begin] = range('main.begin');
  const [finish] = range('main.finish');
  execFileSync(
    stepper,
    [trace, begin, finish, ...places.flatMap(range), 300_000, path].map(String),
    { env: { ...process.env, GOMAXPROCS: '1' }, stdio: 'ignore' },
  );
  const bytes = readFileSync(trace);
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  const rules = new Map<number, number>();
  const stale = new Set<string>();
  let checked = 0;
  for (let at = 0; at < words.length; at += 8) {
    const [pc, rsp, rbp, slot, ret, callerRbp, saved, overRbp] = Array.from(
      words.subarray(at, at + 8),
      Number,
    );
    if (functions.recordAt(virtualAddress(pc!)) === undefined) continue; // the vDSO
    let rule = rules.get(pc!);
    if (rule === undefined) {
      rule = ruleAt(opened, pc!);
      rules.set(pc!, rule);
    }
    const kind = ruleKind(rule);
    if (kind !== Rule.Rsp && kind !== Rule.GoFramePointer) {
      // Stack switches and roots: a handful of functions, asserted below.
      const { name } = functions.lookup(virtualAddress(pc!))!.at(-1)!;
      assert.ok(['gogo', 'runtime.mcall', 'runtime.morestack'].includes(name), name);
      continue;
    }
    const cfa = (kind === Rule.Rsp ? rsp! : rbp!) + ruleOffset(rule);
    const where = () => `${functions.lookup(virtualAddress(pc!))?.at(-1)?.name} at ${pc}`;
    if (cfa !== slot! + 8 && kind === Rule.GoFramePointer && overRbp === ret) {
      // After a callback that moved the goroutine's stack, asmcgocall's rbp still
      // points into the old copy: the same callers, as long as nobody reuses it.
      stale.add(functions.lookup(virtualAddress(pc!))!.at(-1)!.name);
      continue;
    }
    assert.equal(cfa, slot! + 8, where());
    assert.equal(ruleRbp(rule) === RBP_SAME ? rbp : saved, callerRbp, where());
    checked++;
  }
  assert.ok(stale.size === 0 || (stale.size === 1 && stale.has('runtime.asmcgocall')));
  assert.ok(checked > 100_000, `${checked} instructions`);
  // Which code runs in these steps is a matter of the scheduler's timing: 4,900 to 9,000.
  assert.ok(rules.size > 2500, `${rules.size} different ones`);
});

test('a region in one go has the rows of its single addresses', () => {
  const opened = openGo(buildGoSelf(directory));
  const { start } = opened.rules.range;
  const from = start + 65536 * 3 + 5;
  const to = from + 20_000;
  const starts: number[] = [];
  const rules: number[] = [];
  opened.rules.rows(textOffset(from), textOffset(to), (at, rule) => {
    starts.push(at);
    rules.push(rule);
  });
  assert.equal(starts[0], from);
  for (let at = from, row = 0; at < to; at++) {
    if (starts[row + 1] === at) row++;
    assert.equal(rules[row], ruleAt(opened, at + opened.image.textBase), `at ${at}`);
  }
  for (let row = 1; row < starts.length; row++) {
    assert.ok(starts[row]! > starts[row - 1]!);
    assert.notEqual(rules[row], rules[row - 1]);
  }
});

test('roots, stack switches and the signal return point have their own rules', () => {
  const opened = openGo(buildGoSelf(directory));
  const kinds = (name: string): number[] => {
    const { start, end } = opened.functions.findByName(name)!;
    const found = new Set<number>();
    for (let at: number = start; at < end; at++) found.add(ruleKind(ruleAt(opened, at)));
    return [...found];
  };
  assert.deepEqual(kinds('runtime.goexit'), [Rule.End]);
  assert.deepEqual(kinds('runtime.mstart'), [Rule.End]);
  assert.deepEqual(kinds('runtime.rt0_go'), [Rule.End]);
  assert.ok(kinds('runtime.mcall').includes(Rule.End));
  assert.deepEqual(kinds('runtime.morestack'), [Rule.Rsp, Rule.GoMorestack]);
  // From Go 1.21 on the frame pointer crosses the switch.
  assert.ok(kinds('runtime.systemstack').includes(Rule.GoFramePointer));
  assert.ok(kinds('runtime.asmcgocall').includes(Rule.GoFramePointer));
  const { start, end } = opened.functions.findByName('runtime.sigreturn__sigaction')!;
  for (let at = start - 1; at < end; at++) {
    assert.equal(ruleKind(ruleAt(opened, at)), Rule.Signal);
  }
  assert.notEqual(ruleKind(ruleAt(opened, start - 2)), Rule.Signal);
});

test('C code beside the Go text is left to the other rules', () => {
  const opened = openGo(buildGoSelf(directory, { external: true }));
  const { start, end } = opened.rules.range;
  const inside = opened.functions.findByName('main.work')!.start - opened.image.textBase;
  assert.ok(opened.rules.covers(textOffset(inside)));
  for (const offset of [start - 1, end, end + 100_000]) {
    assert.ok(!opened.rules.covers(textOffset(offset)));
    assert.equal(ruleKind(ruleAt(opened, offset + opened.image.textBase)), Rule.None);
  }
  assert.ok(opened.image.textBase + end < opened.image.textBase + opened.image.textSize);
});
