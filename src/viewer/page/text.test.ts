import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labelForms } from './label.ts';
import { baseName, formatCount, formatDuration, formatPercent, printable } from './text.ts';

test('characters that hide or reorder text become visible', () => {
  assert.equal(printable('a\u202eb\u0000c\u200bd\n'), 'a\\u202eb\\u0000c\\u200bd\\u000a');
  assert.equal(printable('größe 漢字 👍'), 'größe 漢字 👍');
});

test('numbers read well at every size', () => {
  assert.equal(formatPercent(1, 3), '33.3 %');
  assert.equal(formatPercent(1, 100_000), '<0.01 %');
  assert.equal(formatPercent(0, 0), '0 %');
  assert.equal(formatPercent(5, 5), '100 %');
  assert.equal(formatCount(1234567), '1,234,567');
  assert.equal(formatDuration(0), '0 s');
  assert.equal(formatDuration(6_120), '6.1 µs');
  assert.equal(formatDuration(2_500_000), '2.5 ms');
  assert.equal(formatDuration(1.5e9), '1.50 s');
  assert.equal(formatDuration(150e9), '2 min 30 s');
  assert.equal(formatDuration(7_260e9), '2 h 1 min');
  assert.equal(baseName('/usr/bin/x'), 'x');
});

test('labels get shorter without losing what tells functions apart', () => {
  const shortest = (name: string) => labelForms(name).at(-1);
  assert.equal(labelForms('github.com/a/b/pkg.(*T).Do')[1], 'pkg.(*T).Do');
  assert.equal(shortest('github.com/a/b/pkg.(*T).Do'), '(*T).Do');
  assert.deepEqual(
    labelForms('std::vector<int, std::allocator<int> >::push_back(int&&)').slice(1),
    ['std::vector::push_back', 'vector::push_back', 'push_back'],
  );
  assert.equal(shortest('<ingest::Parse as ingest::Stage>::apply'), 'apply');
  assert.equal(labelForms('<a::Parse as b::Stage>::apply')[2], 'Parse::apply');
  assert.equal(
    labelForms('std::rt::lang_start::<()>::{{closure}}')[1],
    'std::rt::lang_start::{{closure}}',
  );
  assert.equal(shortest('com.acme.orders.OrderService.price'), 'OrderService.price');
  for (const same of [
    'main',
    'operator<',
    'finish_task_switch.isra.0',
    '<module>',
    '',
    '(',
    '<<<',
  ]) {
    assert.deepEqual(labelForms(same), [same]);
  }
});
