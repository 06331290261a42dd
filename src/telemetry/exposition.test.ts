import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byLabel, renderFamilies } from './exposition.ts';
import { parseExposition, sampleValue } from './strict-exposition.test-support.ts';

test('families are HELP, TYPE and samples; empty ones are left out', () => {
  const text = renderFamilies([
    { name: 'a_total', help: 'One.', type: 'counter', samples: [{ value: 3 }] },
    { name: 'b', help: 'None.', type: 'gauge', samples: [] },
    { name: 'c', help: 'Two.', type: 'gauge', samples: byLabel('why', { x: 1, y: 0.5 }) },
  ]);
  assert.equal(
    text,
    '# HELP a_total One.\n# TYPE a_total counter\na_total 3\n' +
      '# HELP c Two.\n# TYPE c gauge\nc{why="x"} 1\nc{why="y"} 0.5\n',
  );
});

test('any text in values and help stays on its line and can be read back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      const help = `says ${value}`;
      const samples = [{ labels: { value, other: 'x' }, value: 1 }];
      const families = parseExposition(
        renderFamilies([{ name: 'a', help, type: 'gauge', samples }]),
      );
      const [labels] = families.get('a')!.samples.keys();
      const [, quoted] = /^\{value="(.*)",other="x"\}$/s.exec(labels!)!;
      const back = (text: string): string =>
        text.replace(/\\(.)/g, (_, mark: string) => (mark === 'n' ? '\n' : mark));
      assert.equal(back(quoted!), value);
      assert.equal(back(families.get('a')!.help), help);
    }),
    { seed: 5, numRuns: 300 },
  );
});

test('the parser of these tests refuses what Prometheus would', () => {
  const good = '# HELP a_total x\n# TYPE a_total counter\na_total{l="v"} 1\n';
  assert.equal(sampleValue(parseExposition(good), 'a_total', '{l="v"}'), 1);
  for (const bad of [
    good.slice(0, -1),
    good.replace('# TYPE a_total counter\n', ''),
    good.replace('TYPE a_total', 'TYPE b_total'),
    good.replaceAll('a_total', 'a'),
    good.replace('} 1', '} NaN'),
    good.replace('"v"', '"v'),
    good.replace('"v"', '"\\v"'),
    good.replace('l="v"', 'l="v",l="w"'),
    `${good}a_total{l="v"} 2\n`,
    good + good,
    `${good}\n`,
    `${good}b_total 1\n`,
  ]) {
    assert.throws(() => parseExposition(bad), bad);
  }
});
