/** Profiles sent to a real Collector come out of it sample by sample as they were recorded. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type LogLine, startAgent, sumOfProfiles } from '../harness/agent.ts';
import { type Certificates, makeCertificates } from '../harness/certificates.ts';
import { type Receiver, receivedRequests, startCollector } from '../harness/collector.ts';
import { differences, sampleValues, sumOfValues } from '../harness/otlp-samples.ts';
import { buildProgram } from '../harness/programs.ts';
import { CLI, execute } from '../harness/record.ts';
import {
  compileContext,
  readRequests,
  type Request as TracedRequest,
} from '../harness/requests.ts';

const folder = mkdtempSync(join(tmpdir(), 'collector-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Samples of a request's thread carry its ids as a Link. */
function linkOf({ trace_id, span_id }: TracedRequest): string {
  return JSON.stringify([trace_id, span_id]);
}

test('what record writes is what the Collector has received, Links too', async () => {
  const report = join(folder, 'report');
  const carrier = ['-DLINKED', '-Wl,--export-dynamic-symbol=otel_thread_ctx_v1'];
  const traced = compileContext(
    join(folder, 'traced'),
    ['requests.c', 'thread-context.c'],
    carrier,
  );
  const commands = [
    [buildProgram('shapes'), '1'],
    [traced, '0.25', '2', '1000', 'swap', report],
  ];
  const requests: Buffer[] = [];
  for (const command of commands) {
    const output = join(folder, 'profile.otlp');
    const args = ['record', '--format', 'otlp', '--hz', '499', '--output', output];
    const finished = await execute([CLI, ...args, '--', ...command]);
    assert.equal(finished.code, 0, finished.stderr);
    requests.push(readFileSync(output));
  }
  const recorded = sampleValues(requests);
  assert.ok(sumOfValues(recorded) > 100, `only ${sumOfValues(recorded)} samples`);

  const collector = await startCollector(folder, makeCertificates(folder));
  const receiver = collector.receivers.find(
    (one) => one.protocol === 'http' && one.security === 'plain',
  )!;
  for (const body of requests) {
    const response = await fetch(`http://${receiver.address}/v1development/profiles`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-protobuf' },
      body,
    });
    assert.equal(response.status, 200, await response.text());
  }
  await collector.stop();
  const received = sampleValues(receivedRequests(receiver.file));
  assert.deepEqual(differences(recorded, received), []);
  const keys = [...received.keys()];
  for (const request of readRequests(report).filter(({ cpu_seconds }) => cpu_seconds > 0.2)) {
    assert.ok(
      keys.some((key) => key.includes(linkOf(request)) && key.includes(request.function)),
      `no sample of ${request.function} has the Link ${linkOf(request)}`,
    );
  }
});

/** One exporter per receiver, and files to compare with. */
function exportersOf(
  receivers: readonly Receiver[],
  certificates: Certificates,
  directory: string,
): object[] {
  const otlp = receivers.map(({ protocol, security, address }) => ({
    otlp: {
      name: `${protocol}-${security}`,
      endpoint: `${security === 'plain' ? 'http' : 'https'}://${address}`,
      protocol: protocol === 'grpc' ? 'grpc' : security === 'tls' ? 'http/json' : 'http/protobuf',
      queue: { directory: join(folder, 'queue') },
      retry: { initial: '100ms', max: '1s' },
      timeout: '60s',
      tls: {
        ...(security === 'plain' ? {} : { ca_file: certificates.authority }),
        ...(security === 'mtls'
          ? { cert_file: certificates.clientCertificate, key_file: certificates.clientKey }
          : {}),
      },
    },
  }));
  return [...otlp, { files: { directory, format: 'otlp' } }];
}

test('gRPC, HTTP, TLS and mTLS: each receiver has every sample that was recorded', async () => {
  const certificates = makeCertificates(folder);
  const collector = await startCollector(folder, certificates);
  const directory = join(folder, 'recorded');
  const agent = await startAgent(folder, {
    // Its processes only: what a busy machine does would be sent seven times.
    capture: { hz: 499, scope: { include: ['comm=shapes'] } },
    profile: { interval: '1s' },
    exporters: exportersOf(collector.receivers, certificates, directory),
  });
  const program = await execute([buildProgram('shapes'), '3']);
  assert.equal(program.code, 0, program.stderr);
  assert.equal(await agent.stop(), 0);
  const said = await collector.stop();

  const files = readdirSync(directory).map((name) => readFileSync(join(directory, name)));
  const recorded = sampleValues(files);
  assert.equal(sumOfValues(recorded), sumOfProfiles(agent.log, 'exported'));
  assert.ok([...recorded.keys()].some((key) => key.includes('shapes::sorted')));
  for (const { protocol, security, file } of collector.receivers) {
    const received = sampleValues(receivedRequests(file));
    const words = `${protocol} ${security}: ${JSON.stringify(warningsOf(agent.log))}\n${said.slice(-2000)}`;
    assert.deepEqual(differences(recorded, received), [], words);
  }
  assert.deepEqual(warningsOf(agent.log), []);
});

const warningsOf = (log: readonly LogLine[]): LogLine[] =>
  log.filter(({ level, exporter }) => level >= 40 && exporter !== undefined);
