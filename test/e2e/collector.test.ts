/** Profiles sent to a real Collector come out of it sample by sample as they were recorded. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeCertificates } from '../harness/certificates.ts';
import { receivedRequests, startCollector } from '../harness/collector.ts';
import { differences, sampleValues, sumOfValues } from '../harness/otlp-samples.ts';
import { buildProgram } from '../harness/programs.ts';
import { CLI, execute } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'collector-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('what record writes is what the Collector has received', async () => {
  const output = join(folder, 'profile.otlp');
  const args = ['record', '--format', 'otlp', '--hz', '499', '--output', output];
  const finished = await execute([CLI, ...args, '--', buildProgram('shapes'), '1']);
  assert.equal(finished.code, 0, finished.stderr);
  const request = readFileSync(output);
  const recorded = sampleValues([request]);
  assert.ok(sumOfValues(recorded) > 100, `only ${sumOfValues(recorded)} samples`);

  const collector = await startCollector(folder, makeCertificates(folder));
  const receiver = collector.receivers.find(
    (one) => one.protocol === 'http' && one.security === 'plain',
  )!;
  const response = await fetch(`http://${receiver.address}/v1development/profiles`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-protobuf' },
    body: request,
  });
  assert.equal(response.status, 200, await response.text());
  await collector.stop();
  const received = sampleValues(receivedRequests(receiver.file));
  assert.deepEqual(differences(recorded, received), []);
});
