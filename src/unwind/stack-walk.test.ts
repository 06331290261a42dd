import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FLAG_EXACT_START, FLAG_STACK_CUT } from '../capture/record.ts';
import {
  encodeDerefRule,
  encodeOffsetRule,
  encodePlainRule,
  encodeRegisterRule,
  RBP_AT_RBP,
  RBP_SAME,
  Rule,
} from './rule.ts';
import { type CodePlace, type ExactStep, type StackCopy, StackWalker } from './stack-walk.ts';

const BASE = 0x7ffd_0000_0000;
const RBX = 3;
const RBP = 6;
const RSP = 7;
const R10 = 10;
const RIP = 16;
/** Functions: rules by the upper part of their addresses. */
const TEXT = 0x40_0000;
const at = (fn: number, offset = 8): number => TEXT + fn * 0x100 + offset;

interface Made {
  /** Words of the stack from BASE on. */
  readonly words: readonly number[];
  readonly registers?: Readonly<Record<number, number>>;
  readonly flags?: number;
  readonly done?: number;
}

function copyOf({
  words,
  registers = {},
  flags = FLAG_EXACT_START | FLAG_STACK_CUT,
  done = 0,
}: Made): StackCopy {
  const bytes = new DataView(new ArrayBuffer(words.length * 8));
  words.forEach((word, i) => {
    bytes.setUint32(i * 8, word % 2 ** 32, true);
    bytes.setUint32(i * 8 + 4, Math.floor(word / 2 ** 32), true);
  });
  const all = new Float64Array(17);
  all[RSP] = BASE;
  all[RIP] = at(0);
  for (const [register, value] of Object.entries(registers)) all[Number(register)] = value;
  return { registers: all, base: BASE, bytes, flags, done };
}

type Step = (registers: Float64Array, read: (address: number) => number | undefined) => ExactStep;

/** Code whose function i has rule i; what is beyond is not mapped. */
function program(rules: readonly number[], step: Step = () => 'failed') {
  const seen: string[] = [];
  const place = (address: number): CodePlace | undefined => {
    const fn = Math.floor((address - TEXT) / 0x100);
    if (!(fn >= 0 && fn < rules.length)) return undefined;
    return {
      kind: 'file',
      rule(lookup, exact) {
        seen.push(`${fn}${exact ? '!' : ''}`);
        assert.equal(lookup, address);
        return rules[fn]!;
      },
      exactStep: (_lookup, registers, read) => step(registers, read),
    };
  };
  return { place, seen };
}

function walk(made: Made, rules: readonly number[], step?: Step, maxDepth?: number) {
  const { place, seen } = program(rules, step);
  const walked = new StackWalker().walk(copyOf(made), place, maxDepth);
  return {
    frames: [...walked.addresses.subarray(0, walked.length)],
    exact: [...walked.exact.subarray(0, walked.length)],
    end: walked.end,
    seen,
  };
}

const END = encodePlainRule(Rule.End);
const rsp = (offset: number, rbp = RBP_SAME) => encodeOffsetRule(Rule.Rsp, rbp, offset);

test('by rsp: return addresses are looked up one byte before, the leaf where it is', () => {
  const words = [0, at(1), 0, 0, at(2, 0)];
  const { frames, exact, end, seen } = walk({ words }, [rsp(16), rsp(24), END]);
  assert.deepEqual(frames, [at(0), at(1), at(2, 0)]);
  assert.deepEqual(exact, [1, 0, 0]);
  // A return address at the start of function 2 belongs to the call that ends function 1.
  assert.deepEqual(seen, ['0!', '1', '1']);
  assert.equal(end, 'stack_unreadable');
});

test('a return address of zero, an end rule: the outermost frame', () => {
  assert.equal(walk({ words: [0] }, [rsp(8)]).end, 'root');
  assert.deepEqual(walk({ words: [] }, [END]), {
    frames: [at(0)],
    exact: [1],
    end: 'root',
    seen: ['0!'],
  });
});

test('by rbp, its saved value found where the rule says', () => {
  const words = [0, 0, BASE + 48, at(1), 0, 0, 0, at(2), 0, 0];
  const rbp16 = encodeOffsetRule(Rule.Rbp, 2, 16);
  const found = walk({ words, registers: { [RBP]: BASE + 16 } }, [rbp16, rbp16, END]);
  assert.deepEqual([found.frames, found.end], [[at(0), at(1), at(2)], 'root']);
  const atRbp = encodeOffsetRule(Rule.Rbp, RBP_AT_RBP, 16);
  assert.deepEqual(
    walk({ words, registers: { [RBP]: BASE + 16 } }, [atRbp, rbp16, END]).frames,
    found.frames,
  );
});

test('PLT: one word more once the stub has pushed', () => {
  const plt = encodePlainRule(Rule.Plt);
  const words = [at(1), at(2)];
  assert.equal(walk({ words, registers: { [RIP]: at(0, 10) } }, [plt, END, END]).frames[1], at(1));
  assert.equal(walk({ words, registers: { [RIP]: at(0, 11) } }, [plt, END, END]).frames[1], at(2));
});

test('CFA from memory, by rsp and by rbp; from a register in the leaf only', () => {
  const words = [0, BASE + 24, 0, 0, at(1)];
  const deref = encodeDerefRule(Rule.RspDeref, RBP_SAME, 8, 16);
  assert.deepEqual(walk({ words }, [deref, END]).frames, [at(0), at(1)]);
  const below = encodeDerefRule(Rule.RbpDeref, RBP_SAME, -8, 16);
  const registers = { [RBP]: BASE + 16 };
  assert.deepEqual(walk({ words, registers }, [below, END]).frames, [at(0), at(1)]);
  const r10 = encodeRegisterRule(RBP_SAME, R10, 16);
  const found = walk({ words, registers: { [R10]: BASE + 24 } }, [r10, END]);
  assert.deepEqual(found.frames, [at(0), at(1)]);
  const calledTwice = walk({ words: [at(1)] }, [rsp(8), r10]);
  assert.deepEqual([calledTwice.frames.length, calledTwice.end], [2, 'complex_rule']);
});

test('a signal frame: goes on exactly where the program was interrupted, on whatever stack', () => {
  const context = new Array<number>(24).fill(0);
  context[15] = BASE + 0x500;
  context[20] = BASE - 0x100_0000;
  context[21] = at(2, 0);
  const words = [at(1), ...context];
  const { frames, exact, seen, end } = walk({ words }, [rsp(8), encodePlainRule(Rule.Signal), END]);
  assert.deepEqual(frames, [at(0), at(1), at(2, 0)]);
  assert.deepEqual([exact[2], seen[2], end], [1, '2!', 'root']);
  // Cut off in the middle of it.
  const cut = words.slice(0, 20);
  assert.equal(
    walk({ words: cut }, [rsp(8), encodePlainRule(Rule.Signal)]).end,
    'stack_unreadable',
  );
});

test('a signal frame that leads to itself ends at the depth limit', () => {
  const words = new Array<number>(24).fill(0);
  words[20] = BASE;
  words[21] = at(0);
  const found = walk({ words }, [encodePlainRule(Rule.Signal)], undefined, 100);
  assert.deepEqual([found.frames.length, found.end], [100, 'depth_limit']);
});

test('rules that need all registers: walked again from the leaf by exact steps', () => {
  const words = [at(1), 77, at(2), 0];
  let steps = 0;
  const step: Step = (registers, read) => {
    steps++;
    registers[RBX] = 5;
    registers[RIP] = read(registers[RSP]!)!;
    registers[RSP]! += 8 * steps;
    return registers[RIP] === at(2) ? 'end' : 'called';
  };
  const complex = encodePlainRule(Rule.Complex);
  const found = walk({ words: [at(1), at(2)] }, [rsp(8), complex, END], step);
  assert.deepEqual([found.frames, found.end], [[at(0), at(1)], 'root']);
  assert.ok(steps > 0);
  const unable = walk({ words }, [rsp(8), complex], () => 'failed');
  assert.deepEqual([unable.frames, unable.end], [[at(0), at(1)], 'complex_rule']);
  const unread = walk({ words }, [rsp(8), complex], (_, read) => (read(1) ? 'end' : 'unreadable'));
  assert.equal(unread.end, 'stack_unreadable');
  const backwards: Step = () => 'called';
  assert.equal(walk({ words }, [complex], backwards).end, 'bad_frame');
});

test('without rules frame pointers have to do, upwards and aligned', () => {
  const words = [BASE + 16, at(1), BASE + 32, at(2), 0, at(3)];
  const none = [0, 0, 0, 0];
  const chain = walk({ words, registers: { [RBP]: BASE } }, none);
  assert.deepEqual([chain.frames, chain.end], [[at(0), at(1), at(2), at(3)], 'root']);
  assert.equal(walk({ words, registers: { [RBP]: BASE - 8 } }, none).end, 'no_unwind_info');
  assert.equal(walk({ words, registers: { [RBP]: BASE + 4 } }, none).end, 'no_unwind_info');
  const outside = walk({ words: [BASE + 16, 0x1234], registers: { [RBP]: BASE } }, none);
  assert.deepEqual([outside.frames, outside.end], [[at(0)], 'frame_pointer_end']);
  // A chain that leads back to itself does not lead upwards.
  const cycle = walk({ words: [BASE, at(0)], registers: { [RBP]: BASE } }, none);
  assert.deepEqual([cycle.frames.length, cycle.end], [2, 'no_unwind_info']);
});

test('what lies outside of the copy: too short a copy, or memory that is not there', () => {
  const rules = [rsp(0x1000)];
  assert.equal(walk({ words: [0] }, rules).end, 'stack_unreadable');
  assert.equal(walk({ words: [0], flags: FLAG_EXACT_START }, rules).end, 'stack_copy_short');
});

test('a walk that carries on where the kernel stopped: no leaf, and its frames count', () => {
  const words = [at(1)];
  const made = { words, done: 6, flags: FLAG_STACK_CUT };
  const found = walk(made, [rsp(8), END]);
  assert.deepEqual(
    [found.frames, found.exact, found.seen],
    [
      [at(0), at(1)],
      [0, 0],
      ['0', '1'],
    ],
  );
  assert.equal(walk(made, [rsp(8), END], undefined, 7).end, 'depth_limit');
  assert.equal(walk(made, [encodeRegisterRule(RBP_SAME, R10, 8)]).end, 'complex_rule');
});

test('the depth limit: as many frames, and then the reason', () => {
  const words = new Array<number>(50).fill(at(0));
  for (const limit of [1, 7, 50]) {
    const found = walk({ words }, [rsp(8)], undefined, limit);
    assert.deepEqual([found.frames.length, found.end], [limit, 'depth_limit']);
  }
});

test('unmapped code, unreadable files and anonymous memory are told apart', () => {
  assert.equal(walk({ words: [], registers: { [RIP]: 0 } }, [END]).end, 'no_mapping');
  const never = () => assert.fail('only files are asked for rules');
  for (const [kind, rbp, end] of [
    ['unreadable', 0, 'unreadable_file'],
    ['anonymous', 0, 'frame_pointer_end'],
    ['anonymous', 1, 'frame_pointer_end'],
  ] as const) {
    const place: CodePlace = { kind, rule: never, exactStep: never };
    const copy = copyOf({ words: [], registers: { [RBP]: rbp } });
    const walked = new StackWalker().walk(copy, () => place);
    assert.deepEqual([walked.length, walked.end], [1, end], kind);
  }
});

test('any registers, any stack, any rules: an end, within the limit, and no frame from nowhere', () => {
  const value = fc.oneof(
    fc.integer({ min: 0, max: 40 }).map((word) => BASE + word * 8),
    fc.integer({ min: 0, max: 5 }).map((fn) => at(fn)),
    fc.double({ min: 0, max: 2 ** 64, noNaN: true }).map(Math.floor),
    fc.constantFrom(0, 1, 2 ** 53, 2 ** 64, BASE - 1),
  );
  const anyStep: fc.Arbitrary<Step> = fc
    .tuple(
      fc.constantFrom<ExactStep>('called', 'interrupted', 'end', 'unreadable', 'failed'),
      value,
      value,
    )
    .map(([result, sp, pc]) => (registers, read) => {
      registers[RSP] = sp;
      registers[RIP] = read(sp) ?? pc;
      return result;
    });
  fc.assert(
    fc.property(
      fc.array(value, { maxLength: 40 }),
      fc.array(value, { minLength: 17, maxLength: 17 }),
      fc.array(fc.nat(0xffff_ffff), { minLength: 1, maxLength: 6 }),
      fc.nat(7),
      anyStep,
      (words, registers, rules, flags, step) => {
        const made = { words, registers: { ...registers }, flags };
        const { frames, end } = walk(made, rules, step, 64);
        assert.ok(frames.length <= 64);
        assert.equal(typeof end, 'string');
        for (const frame of frames) {
          assert.ok(frame >= TEXT && frame <= TEXT + rules.length * 0x100);
        }
      },
    ),
    { seed: 31, numRuns: 3000 },
  );
});
