import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentAttributes, otelVariables } from './process-environment.ts';

const environment = (...entries: string[]): string =>
  Buffer.from(`${entries.join('\0')}\0`).toString('latin1');

const attributes = (serviceName: string, resourceAttributes: string) => {
  const read = environmentAttributes({ serviceName, resourceAttributes });
  return [Object.fromEntries(read.attributes), read.isMalformed];
};

test('the two variables, wherever they stand', () => {
  const [name, all] = ['OTEL_SERVICE_NAME=größer', 'OTEL_RESOURCE_ATTRIBUTES=a=b'];
  const expected = { serviceName: 'größer', resourceAttributes: 'a=b' };
  assert.deepEqual(otelVariables(environment(name, 'X=1', all)), expected);
  assert.deepEqual(otelVariables(environment('X=1', all, name)), expected);
  assert.deepEqual(otelVariables(environment(all, name).slice(0, -1)), expected, 'no last zero');
});

test('names that only end or begin in the same way are others', () => {
  const others = ['MY_OTEL_SERVICE_NAME=x', 'X=OTEL_SERVICE_NAME=x', 'OTEL_SERVICE_NAMES=x'];
  assert.equal(otelVariables(environment(...others)), undefined);
  assert.equal(otelVariables(''), undefined);
  assert.equal(otelVariables(environment('OTEL_SERVICE_NAME=')), undefined);
});

test('a value that is no attribute of anything is refused', () => {
  const long = `OTEL_RESOURCE_ATTRIBUTES=a=${'x'.repeat(20_000)}`;
  assert.throws(() => otelVariables(environment(long)), { reason: 'too_large' });
});

test('pairs with percent-encoding; the name of the service has a variable of its own', () => {
  assert.deepEqual(attributes('', ' service.name = a%2Cb%3D%20c ,x=1,,service.version=1=2'), [
    { 'service.name': 'a,b= c', x: '1', 'service.version': '1=2' },
    false,
  ]);
  assert.deepEqual(attributes(' shop ', 'service.name=other,x=1'), [
    { 'service.name': 'shop', x: '1' },
    false,
  ]);
});

// As the specification has it; the name of the service is another variable.
test('one pair that is wrong spoils the variable', () => {
  for (const wrong of ['x', '=1', 'x=%zz', 'x=%ff']) {
    assert.deepEqual(attributes('', `service.name=a,${wrong}`), [{}, true], wrong);
    assert.deepEqual(attributes('shop', wrong), [{ 'service.name': 'shop' }, true], wrong);
  }
});
