import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headOf } from './head.ts';

test('a head gives its method, its address and what shows who asks; the first of two counts', () => {
  const lines = [
    'GET /api/flame?seconds=5 HTTP/1.1',
    'Host: localhost',
    'AUTHORIZATION:  Bearer abc ',
    'Cookie: a=b; c=d',
    'Cookie: e=f',
    'X-Cookie: no',
  ];
  assert.deepEqual(headOf(lines.join('\r\n')), {
    method: 'GET',
    url: '/api/flame?seconds=5',
    headers: { authorization: 'Bearer abc', cookie: 'a=b; c=d' },
  });
});

test('of what is no head nothing is made up', () => {
  assert.deepEqual(headOf(''), { method: '', url: '', headers: {} });
  assert.deepEqual(headOf('\0\xff'), { method: '\0\xff', url: '', headers: {} });
  assert.deepEqual(headOf('GET\r\n__proto__: x\r\ncookie'), {
    method: 'GET',
    url: '',
    headers: {},
  });
});
