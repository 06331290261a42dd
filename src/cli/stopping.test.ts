/** SIGTERM with a receiver that does not answer: the rest waits on disk, and the next start sends it in order. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeRequest, requestType } from '../profile/otlp-messages.test-support.ts';

const main = join(import.meta.dirname, 'stand-in-main.test-support.ts');
const folder = mkdtempSync(join(tmpdir(), 'flametap-stopping-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('what a silent receiver did not take at SIGTERM arrives after the next start, before what is new', async (context) => {
  let isSilent = true;
  const times: bigint[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {});
    request.on('end', () => {
      if (isSilent) return;
      times.push(timeOf(Buffer.concat(chunks)));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const file = join(folder, 'flametap.yaml');
  const exporter = {
    endpoint: `http://127.0.0.1:${port}`,
    protocol: 'http/protobuf',
    compression: 'none',
    queue: { directory: join(folder, 'queue') },
  };
  const settings = { viewer: { listen: '127.0.0.1:0' }, profile: { interval: '20ms' } };
  writeFileSync(file, JSON.stringify({ ...settings, exporters: [{ otlp: exporter }] }));

  const first = await agent(file, (log) => profiles(log) >= 30);
  const waiting = first.find(({ msg }) => msg === 'requests wait on disk for the next start');
  assert.equal(waiting?.requests, profiles(first));
  assert.equal(times.length, 0);

  isSilent = false;
  const second = await agent(file, () => times.length >= profiles(first) + 5);
  assert.equal(
    second.some(({ msg }) => /wait on disk|are lost/.test(msg)),
    false,
  );
  assert.equal(times.length, profiles(first) + profiles(second));
  assert.deepEqual(
    times,
    times.toSorted((a, b) => Number(a - b)),
  );
});

const type = requestType();
const timeOf = (request: Uint8Array): bigint =>
  decodeRequest(type, request).resource_profiles[0]!.scope_profiles[0]!.profiles[0]!.time_unix_nano;

interface Line {
  readonly msg: string;
  readonly requests?: number;
}

const profiles = (log: readonly Line[]): number =>
  log.filter(({ msg }) => msg === 'profile').length;

/** An agent that gets SIGTERM when it is time, and ends by itself. @returns its log */
async function agent(file: string, isTime: (log: readonly Line[]) => boolean): Promise<Line[]> {
  const child = spawn(process.execPath, [main, 'agent', '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'close') as Promise<[number | null]>;
  const log: Line[] = [];
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (data: string) => {
    const lines = (text + data).split('\n');
    text = lines.pop()!;
    log.push(
      ...lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line),
    );
  });
  while (!isTime(log)) {
    assert.equal(child.exitCode, null, `it ended: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.kill('SIGTERM');
  const [code] = await ended;
  assert.equal(code, 0, JSON.stringify(log.slice(-5)));
  return log;
}
