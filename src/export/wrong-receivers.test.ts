/** Addresses that are nearly right, with real connections: each says what is wrong and which key mends it. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Certificates, makeCertificates } from './certificates.test-support.ts';
import type { FaultCode } from './fault.ts';
import { otlpDestination } from './otlp.ts';
import type { TlsContents } from './otlp-grpc.ts';
import { deadPort, grpcReceiver, httpReceiver } from './otlp-receivers.test-support.ts';
import type { Outcome } from './transport.ts';

const certificates: Certificates = makeCertificates();
const { ca, client, server } = certificates;
const never = new AbortController().signal;
type Protocol = 'grpc' | 'http/protobuf';

async function send(
  context: TestContext,
  endpoint: string,
  protocol: Protocol,
  tls: TlsContents = {},
): Promise<Outcome & { kind: 'retry' }> {
  const { transport } = otlpDestination({
    name: 'test',
    endpoint,
    isWholeUrl: false,
    protocol,
    headers: {},
    compression: 'gzip',
    timeoutMs: 20_000,
    tls: () => tls,
    insecure: false,
    maxRequestBytes: 1_500_000,
    encoding: { attributes: {} },
    now: Date.now,
  });
  context.after(() => transport.close());
  const outcome = await transport.send(new Uint8Array(100), never);
  assert.ok(outcome.kind === 'retry', JSON.stringify(outcome));
  return outcome;
}

function says(
  outcome: Outcome & { kind: 'retry' },
  fault: FaultCode | undefined,
  words: RegExp,
): void {
  const said = `${outcome.reason}; ${outcome.mend}`;
  assert.equal(outcome.fault, fault, said);
  assert.match(said, words);
  assert.doesNotMatch(said, /EPROTO|SSL routines|HPE_|openssl|undefined|\n/, 'words, not codes');
}

test('http:// and https:// mixed up', async (context) => {
  const plain = await httpReceiver(context, (response) => response.end());
  const plainGrpc = await grpcReceiver(context, () => ({}));
  const secure = await httpReceiver(context, (response) => response.end(), server);
  const noTls = /^the port does not speak TLS; write http:\/\/ in \{endpoint\}/;
  for (const protocol of ['http/protobuf', 'grpc'] as const) {
    for (const port of [plain.url.port, plainGrpc.port])
      says(await send(context, `https://127.0.0.1:${port}`, protocol), 'wrong_protocol', noTls);
    // As an outage looks, too: Go's servers say it in words.
    says(
      await send(context, `http://127.0.0.1:${secure.url.port}`, protocol),
      undefined,
      /^the connection was closed without an answer; if the port speaks TLS, write https:\/\/ in \{endpoint\}/,
    );
  }
});

test('gRPC and HTTP mixed up', async (context) => {
  const http = await httpReceiver(context, (response) => response.end());
  const grpc = await grpcReceiver(context, () => ({}));
  const secure = await httpReceiver(context, (response) => response.end(), server);
  says(
    await send(context, `http://127.0.0.1:${grpc.port}`, 'http/protobuf'),
    'wrong_protocol',
    /does not speak HTTP\/1; it may be a gRPC port; set \{protocol\} to grpc, or .*4318/,
  );
  says(
    await send(context, http.url.origin, 'grpc'),
    'wrong_protocol',
    /does not speak gRPC; .* set \{protocol\} to http\/protobuf, or .*4317/,
  );
  says(
    await send(context, secure.url.origin, 'grpc', { ca }),
    'wrong_protocol',
    /speaks TLS, but not HTTP\/2.*\{protocol\} to http\/protobuf/,
  );
});

test('certificates', async (context) => {
  const cases = [
    [certificates.expired, { ca }, 'certificate', /has expired; renew it at the receiver/],
    [certificates.misnamed, { ca }, 'certificate', /is for another host name; .*\{endpoint\}/],
    [certificates.foreign, { ca }, 'certificate', /does not trust; .*\{tls\.ca_file\}/],
    [server, {}, 'certificate', /does not trust; .*\{tls\.ca_file\}/],
    [
      { ...server, clientCa: ca },
      { ca },
      'client_certificate',
      /\{tls\.cert_file\} and \{tls\.key_file\}/,
    ],
    [
      server,
      { ca, cert: client.cert, key: server.key },
      'local_file',
      /does not match.*\{tls\.key_file\}/,
    ],
    [server, { ca, cert: client.cert, key: Buffer.from('x') }, 'local_file', /not valid PEM/],
  ] as const;
  for (const [tls, ours, fault, words] of cases) {
    const http = await httpReceiver(context, (response) => response.end(), tls);
    says(await send(context, http.url.origin, 'http/protobuf', ours), fault, words);
    const grpc = await grpcReceiver(context, () => ({}), { tls });
    says(await send(context, `https://127.0.0.1:${grpc.port}`, 'grpc', ours), fault, words);
  }
});

test('nobody there, and a name that nobody has', async (context) => {
  const port = await deadPort();
  for (const protocol of ['http/protobuf', 'grpc'] as const) {
    says(
      await send(context, `http://127.0.0.1:${port}`, protocol),
      undefined,
      /^connection refused; start the receiver, or correct \{endpoint\}/,
    );
    const outcome = await send(context, 'http://no-such-host.invalid:4318', protocol);
    // Where there is no DNS at all, it does not answer.
    if (outcome.fault !== undefined)
      says(
        outcome,
        'unknown_host',
        /DNS does not know the host name; correct the host in \{endpoint\}/,
      );
    else assert.match(outcome.reason, /DNS/);
  }
});

test('proxies that are dead or refuse are named, with the variable that names them', async (context) => {
  const { url } = await httpReceiver(context, (response) => response.end(), server);
  const refusing = createServer((_, response) => response.writeHead(407).end());
  refusing.on('connect', (_request, socket) =>
    socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'),
  );
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
  context.after(() => refusing.close());
  const variables = ['HTTPS_PROXY', 'https_proxy'];
  context.after(() => {
    for (const variable of variables) delete process.env[variable];
  });
  for (const port of [await deadPort(), (refusing.address() as AddressInfo).port]) {
    for (const [variable, protocol] of [
      ['HTTPS_PROXY', 'http/protobuf'],
      ['https_proxy', 'grpc'],
    ] as const) {
      for (const name of variables) delete process.env[name];
      process.env[variable] = `http://user:secret@127.0.0.1:${port}`;
      const outcome = await send(context, url.origin, protocol, { ca });
      const said = `${outcome.reason}; ${outcome.mend}`;
      assert.match(
        said,
        new RegExp(`through the proxy http://127\\.0\\.0\\.1:${port} \\(${variable}\\)`),
      );
      assert.doesNotMatch(said, /secret/);
    }
  }
});
