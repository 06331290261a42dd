import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Space } from './space.ts';

test('any takes and releases: ranges never overlap, first fit, all of it free again at the end', () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(12), fc.nat(100)), { maxLength: 120 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 3 }), steps, (first, script) => {
      const size = 40;
      const space = new Space(first, size);
      const used = new Array<boolean>(size).fill(false);
      const taken: { start: number; length: number }[] = [];
      const fits = (start: number, length: number) =>
        start >= first &&
        start + length <= size &&
        !used.slice(start, start + length).includes(true);
      for (const [isTake, length, which] of script) {
        if (isTake) {
          const start = space.take(length);
          const expected = used.findIndex((_, at) => fits(at, length));
          if (length === 0) assert.equal(start, 0);
          else if (expected < 0) assert.equal(start, undefined);
          else {
            assert.equal(start, expected);
            used.fill(true, expected, expected + length);
            taken.push({ start: expected, length });
          }
        } else if (taken.length > 0) {
          const [gone] = taken.splice(which % taken.length, 1);
          space.release(gone!.start, gone!.length);
          used.fill(false, gone!.start, gone!.start + gone!.length);
        }
        assert.equal(space.used, used.filter(Boolean).length);
      }
      for (const { start, length } of taken) space.release(start, length);
      space.release(5, 0);
      assert.equal(space.take(size - first), first);
    }),
    { seed: 11, numRuns: 500 },
  );
});
