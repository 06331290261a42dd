import assert from 'node:assert/strict';
import { test } from 'node:test';
import { payloadOf } from './payload.test-support.ts';
import { parseProcessContext } from './process-context.ts';
import { resourceLabels } from './resource.ts';

const labels = (
  published: Parameters<typeof payloadOf>[0] | undefined,
  environment: Readonly<Record<string, string>> = {},
) => {
  const context = published && parseProcessContext(payloadOf(published));
  const all = resourceLabels(context, new Map(Object.entries(environment)));
  return Object.fromEntries(all.map(({ key, value }) => [key, value]));
};

test('what is published goes before the environment, key by key', () => {
  assert.deepEqual(
    labels(
      { 'service.name': 'shop', 'telemetry.sdk.language': 'go' },
      { 'service.name': 'other', 'service.version': '7' },
    ),
    { 'service.name': 'shop', 'service.version': '7', 'telemetry.sdk.language': 'go' },
  );
  assert.deepEqual(labels(undefined, { 'service.name': 'shop' }), { 'service.name': 'shop' });
  assert.deepEqual(labels(undefined), {});
});

test('a service that nobody has named has no name, and hides none', () => {
  for (const unnamed of ['unknown_service', 'unknown_service:node', '', '  ']) {
    assert.deepEqual(labels({ 'service.name': unnamed }), {});
    assert.deepEqual(labels({ 'service.name': unnamed }, { 'service.name': 'x' }), {
      'service.name': 'x',
    });
  }
});

test('what we know better, and what nobody asked for, stays out', () => {
  const other = { 'process.pid': 1, 'host.name': 'h', 'service.': 'x', 'my.service.name': 'x' };
  assert.deepEqual(labels({ ...other, 'deployment.environment.name': 'prod' }), {
    'deployment.environment.name': 'prod',
  });
});

test('texts are short, other values are texts, and there are not too many', () => {
  assert.deepEqual(
    labels({
      'service.a': '  name ',
      'service.b': 7,
      'service.c': true,
      'service.d': ['x'],
      'service.e': 2n ** 62n,
    }),
    {
      'service.a': 'name',
      'service.b': '7',
      'service.c': 'true',
      'service.e': '4611686018427387904',
    },
  );
  const long = labels({ 'service.name': 'x'.repeat(60_000) })['service.name']!;
  assert.ok(long.length === 1024);
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`service.x${i}`, 'y']));
  assert.equal(Object.keys(labels(many)).length, 20);
});
