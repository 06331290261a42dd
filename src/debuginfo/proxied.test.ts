import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { fetchFile } from './http-fetch.ts';

const LIMITS = { bytes: 1000, redirects: 2, connectMs: 20_000, idleMs: 20_000, totalMs: 60_000 };
const never = new AbortController().signal;

/** Answers what it is asked to forward, and refuses tunnels. @returns what it was asked for */
async function proxy(context: TestContext): Promise<string[]> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end('debug information');
  });
  server.on('connect', (request, socket) => {
    asked.push(`CONNECT ${request.url}`);
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const variables = ['HTTP_PROXY', 'https_proxy', 'NO_PROXY'];
  process.env.HTTP_PROXY = url;
  process.env.https_proxy = url;
  context.after(() => {
    server.closeAllConnections();
    server.close();
    for (const variable of variables) delete process.env[variable];
  });
  return asked;
}

async function fetched(url: string): Promise<{ kind: string; text: string }> {
  const chunks: Buffer[] = [];
  const { kind } = await fetchFile(new URL(url), LIMITS, (chunk) => chunks.push(chunk), never);
  return { kind, text: Buffer.concat(chunks).toString() };
}

test('debuginfod servers are asked through the proxies that the environment names', async (context) => {
  const asked = await proxy(context);
  assert.deepEqual(await fetched('http://debuginfod.invalid/buildid/01/debuginfo'), {
    kind: 'done',
    text: 'debug information',
  });
  assert.deepEqual(asked.splice(0), ['GET http://debuginfod.invalid/buildid/01/debuginfo']);
  assert.equal((await fetched('https://debuginfod.invalid/x')).kind, 'failed');
  assert.deepEqual(asked.splice(0), ['CONNECT debuginfod.invalid:443']);
  process.env.NO_PROXY = 'debuginfod.invalid';
  assert.equal((await fetched('http://debuginfod.invalid/x')).kind, 'failed');
  assert.deepEqual(asked, []);
});
