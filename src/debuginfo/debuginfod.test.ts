import assert from 'node:assert/strict';
import { closeSync, readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { compile, scratchDirectory } from '../elf/testdata/programs.ts';
import { DebugCache } from './debug-cache.ts';
import {
  DEBUGINFOD_LIMITS,
  Debuginfod,
  type DebuginfodLimits,
  debuginfodServers,
} from './debuginfod.ts';
import { linkFile } from './testing.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());
const ID = '0102030405060708';
const OTHER_ID = '1112131415161718';
const program = (id: string): Buffer => {
  const options = ['-g', `-Wl,--build-id=0x${id}`];
  return readFileSync(compile(scratch.path, `p${id}`, 'int main(void) { return 0; }', options));
};
const right = program(ID);
const wrong = program(OTHER_ID);
const bomb = gzipSync(Buffer.alloc(64 << 20));
const LIMITS: DebuginfodLimits = {
  ...DEBUGINFOD_LIMITS,
  bytes: 1 << 20,
};
/** For servers that are too slow in any case: a machine that stands still changes nothing. */
const SHORT = { connectMs: 300, idleMs: 300, totalMs: 1000 };

const endings: (() => void)[] = [];
afterEach(() => {
  for (const end of endings.splice(0)) end();
});
let caches = 0;

async function listening(server: Server | TcpServer): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  endings.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serve = (answer: RequestListener): Promise<string> => listening(createServer(answer));

interface Client {
  readonly client: Debuginfod;
  readonly cache: DebugCache;
  /** Asks until there is an answer: the bytes, or undefined. */
  get(buildId: string): Promise<Buffer | undefined>;
  advance(milliseconds: number): void;
}

function clientOf(
  urls: readonly string[],
  limits: Partial<DebuginfodLimits> = {},
  folder = join(scratch.path, `cache${caches++}`),
): Client {
  let now = Date.now();
  const clock = () => now;
  const cache = new DebugCache(folder, linkFile, undefined, clock);
  const waiting = new Map<string, () => void>();
  const settled = (buildId: string) => waiting.get(buildId)?.();
  const servers = debuginfodServers(urls, undefined);
  const client = new Debuginfod(servers, cache, settled, { ...LIMITS, ...limits }, clock);
  endings.push(() => {
    client.close();
    cache.close();
  });
  return {
    client,
    cache,
    async get(buildId) {
      let answer = client.request(buildId);
      if (answer === 'pending') {
        await new Promise<void>((resolve) => waiting.set(buildId, resolve));
        answer = client.request(buildId);
      }
      assert.notEqual(answer, 'pending');
      if (typeof answer !== 'number') return undefined;
      const bytes = readFileSync(answer);
      closeSync(answer);
      return bytes;
    },
    advance(milliseconds) {
      now += milliseconds;
    },
  };
}

/** Reasons for a build id, which are told once. */
const problems = ({ client }: Client, buildId = ID) => client.takeProblems(buildId);

/** A server that has the right file, and what it was asked for. */
async function good(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const url = await serve((request, response) => {
    asked.push(request.url!);
    if (request.url === `/buildid/${ID}/debuginfo`) response.end(right);
    else response.writeHead(404).end('not found');
  });
  return { url, asked };
}

describe('debuginfod client', () => {
  test('a file is downloaded once, without anybody waiting, and is there at the next start', async () => {
    const { url, asked } = await good();
    const folder = join(scratch.path, 'kept');
    const first = clientOf([url], {}, folder);
    assert.equal(first.client.request(ID), 'pending');
    assert.equal(first.client.request(ID), 'pending');
    assert.equal(first.client.running, 1);
    assert.ok((await first.get(ID))?.equals(right));
    assert.equal(first.client.running, 0);
    assert.ok((await first.get(ID))?.equals(right));
    const second = clientOf([url], {}, folder);
    assert.equal(typeof second.client.request(ID), 'number');
    assert.deepEqual(asked, [`/buildid/${ID}/debuginfo`]);
    assert.deepEqual(problems(first), []);
  });

  test('what no server has is asked for again only after its time, also by the next agent', async () => {
    const { url, asked } = await good();
    const folder = join(scratch.path, 'missing');
    const first = clientOf([url], {}, folder);
    assert.equal(await first.get(OTHER_ID), undefined);
    assert.equal(first.client.request(OTHER_ID), undefined);
    const second = clientOf([url], {}, folder);
    assert.equal(second.client.request(OTHER_ID), undefined);
    assert.equal(asked.length, 1);
    second.advance(LIMITS.missingMs + 1000);
    assert.equal(await second.get(OTHER_ID), undefined);
    assert.equal(asked.length, 2);
    assert.deepEqual(problems(first, OTHER_ID), []);
  });

  test('servers are asked in order until one has the file', async () => {
    const { url, asked } = await good();
    const empty = await serve((_request, response) => void response.writeHead(404).end());
    const broken = await serve((_request, response) => void response.writeHead(500).end());
    const client = clientOf([empty, broken, `${url}/`]);
    assert.ok((await client.get(ID))?.equals(right));
    assert.equal(asked.length, 1);
    assert.deepEqual(problems(client), ['debuginfod_status']);
  });

  test('redirects are followed, also to paths below a prefix', async () => {
    const { url } = await good();
    const hop = await serve((request, response) => {
      const [, prefix, ...rest] = request.url!.split('/');
      const location = prefix === 'a' ? `/b/${rest.join('/')}` : `${url}/${rest.join('/')}`;
      response.writeHead(302, { location }).end('moved');
    });
    assert.ok((await clientOf([`${hop}/a`]).get(ID))?.equals(right));
  });

  const hostile: [string, RequestListener, string][] = [
    ['another file', (_, response) => void response.end(wrong), 'debuginfod_wrong_file'],
    [
      'no ELF file',
      (_, response) => void response.end('<html>Sign in</html>'),
      'debuginfod_wrong_file',
    ],
    ['nothing', (_, response) => void response.end(), 'debuginfod_wrong_file'],
    [
      'half a file',
      (_, response) => void response.end(right.subarray(0, 200)),
      'debuginfod_wrong_file',
    ],
    [
      'less than it promises',
      (_, response) => {
        response.writeHead(200, { 'content-length': right.length });
        response.write(right.subarray(0, 3000), () => response.destroy());
      },
      'debuginfod_cut_off',
    ],
    [
      'an endless body',
      (_, response) => {
        response.write(right);
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(1 << 16)));
        };
        response.on('drain', more);
        more();
      },
      'debuginfod_too_big',
    ],
    [
      'the promise of an enormous body',
      (_, response) => {
        response.writeHead(200, { 'content-length': 2 ** 40 });
        response.write(right);
      },
      'debuginfod_too_big',
    ],
    [
      'a compressed body, which may be a bomb',
      (_, response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' });
        response.end(bomb);
      },
      'debuginfod_encoding',
    ],
    [
      'a redirect to itself',
      (request, response) => void response.writeHead(301, { location: request.url! }).end(),
      'debuginfod_redirect',
    ],
    [
      'a redirect to a local file',
      (_, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      'debuginfod_redirect',
    ],
    [
      'a redirect to nowhere',
      (_, response) => void response.writeHead(302).end(),
      'debuginfod_redirect',
    ],
    [
      'a redirect to what is no address',
      (_, response) => void response.writeHead(302, { location: 'http://[broken' }).end(),
      'debuginfod_redirect',
    ],
    ['an error', (_, response) => void response.writeHead(503).end(), 'debuginfod_status'],
  ];
  for (const [what, answer, reason] of hostile) {
    test(`a server that sends ${what} is counted, and the next one asked`, async () => {
      const { url } = await good();
      const client = clientOf([await serve(answer), url]);
      assert.ok((await client.get(ID))?.equals(right));
      assert.deepEqual(problems(client), [reason]);
      assert.deepEqual(problems(client), []);
    });
  }

  const broken: [string, (socket: Socket) => void, string][] = [
    [
      'does not speak HTTP',
      (socket) => void socket.end('220 mail ready\r\n'),
      'debuginfod_unreachable',
    ],
    ['closes at once', (socket) => void socket.destroy(), 'debuginfod_unreachable'],
    [
      'sends headers without end',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const line = `X-Header: ${'x'.repeat(1000)}\r\n`;
        const timer = setInterval(() => socket.write(line.repeat(100)), 10);
        socket.on('close', () => clearInterval(timer));
      },
      'debuginfod_unreachable',
    ],
  ];
  for (const [what, handle, reason] of broken) {
    test(`a server that ${what} is counted, and the next one asked`, async () => {
      const { url } = await good();
      const client = clientOf([await listening(createTcpServer(handle)), url]);
      assert.ok((await client.get(ID))?.equals(right));
      assert.deepEqual(problems(client), [reason]);
      assert.deepEqual(problems(client), []);
    });
  }

  const slow: [string, RequestListener][] = [
    [
      'one byte at a time, for ever',
      (_, response) => {
        let at = 0;
        const timer = setInterval(() => response.write(right.subarray(at, ++at)), 50);
        response.on('close', () => clearInterval(timer));
      },
    ],
    ['no answer', () => undefined],
    ['headers and then nothing', (_, response) => void response.writeHead(200).flushHeaders()],
    [
      'endless interim answers',
      (_, response) => {
        const timer = setInterval(() => response.writeProcessing(), 50);
        response.on('close', () => clearInterval(timer));
      },
    ],
  ];
  for (const [what, answer] of slow) {
    test(`a server that sends ${what} is given up`, async () => {
      const client = clientOf([await serve(answer)], SHORT);
      assert.equal(await client.get(ID), undefined);
      assert.deepEqual(problems(client), ['debuginfod_timeout']);
    });
  }

  test('a server that never says a word is given up', async () => {
    const client = clientOf([await listening(createTcpServer(() => undefined))], SHORT);
    assert.equal(await client.get(ID), undefined);
    assert.deepEqual(problems(client), ['debuginfod_timeout']);
  });

  test('a server that is down is left alone after some tries, by the next agent too, and tried again later', async () => {
    let tries = 0;
    const url = await serve((request) => {
      tries++;
      request.socket.destroy();
    });
    const folder = join(scratch.path, 'down');
    const first = clientOf([url], { parallel: 1 }, folder);
    const ids = Array.from({ length: 10 }, (_, i) => `aabbccdd0000000${i}`);
    for (const id of ids) assert.equal(await first.get(id), undefined);
    assert.equal(tries, LIMITS.failures);
    const second = clientOf([url], {}, folder);
    for (const id of [...ids, ID]) assert.equal(second.client.request(id), undefined);
    assert.equal(tries, LIMITS.failures);
    second.advance(LIMITS.failedMs + 1000);
    assert.equal(second.client.request(ID), 'pending');
  });

  test('what failed is not asked for again and again', async () => {
    let tries = 0;
    const url = await serve((_request, response) => {
      tries++;
      response.writeHead(500).end();
    });
    const client = clientOf([url], { failures: 1000 });
    for (let i = 0; i < 5; i++) assert.equal(await client.get(ID), undefined);
    assert.equal(tries, 1);
    client.advance(LIMITS.failedMs + 1000);
    assert.equal(await client.get(ID), undefined);
    assert.equal(tries, 2);
  });

  test('only some are downloaded at a time, only some wait, and closing ends all', async () => {
    let open = 0;
    const url = await serve((_request, response) => {
      open++;
      response.on('close', () => open--);
    });
    const client = clientOf([url], { parallel: 2, queued: 5 });
    const answers = Array.from({ length: 12 }, (_, i) =>
      client.client.request(`aabbccdd000000${String(i).padStart(2, '0')}`),
    );
    assert.equal(answers.filter((answer) => answer === 'pending').length, 7);
    assert.deepEqual(problems(client, 'aabbccdd00000006'), []);
    assert.deepEqual(problems(client, 'aabbccdd00000007'), ['debuginfod_busy']);
    while (open < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    client.client.close();
    while (open > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(client.client.request(ID), undefined);
  });

  test('what finds no room is refused, and asked for again soon', async () => {
    const { url } = await good();
    const client = clientOf([url]);
    const other = client.cache.begin();
    client.cache.grow(other, client.cache.maxFileBytes - 100);
    assert.equal(await client.get(ID), undefined);
    assert.deepEqual(problems(client), ['debuginfod_no_space']);
    client.cache.abandon(other);
    assert.equal(client.client.request(ID), undefined);
    client.advance(LIMITS.failedMs + 1000);
    assert.ok((await client.get(ID))?.equals(right));
  });

  test('without a folder that can be written it works all the same', async () => {
    const { url } = await good();
    const client = clientOf([url], {}, '/proc/flametap');
    assert.match(client.cache.warning, /\/proc\/flametap/);
    assert.deepEqual(problems(client), ['debuginfod_cache_folder']);
    assert.deepEqual(problems(client), []);
    assert.ok((await client.get(ID))?.equals(right));
    assert.ok((await client.get(ID))?.equals(right));
  });

  test('only build ids become paths of a request', () => {
    const client = clientOf(['http://127.0.0.1:1']);
    for (const id of [
      '',
      'ab',
      '../../../etc',
      'ABCDEF0102030405',
      `${'ab'.repeat(65)}`,
      'abc def0102030',
    ]) {
      assert.equal(client.client.request(id), undefined, id);
    }
    assert.equal(clientOf([]).client.request(ID), undefined);
    assert.equal(clientOf([]).client.isConfigured, false);
  });
});

describe('addresses of servers', () => {
  test('they come from the configuration and $DEBUGINFOD_URLS, each once, words that are none ignored', () => {
    const urls = debuginfodServers(
      ['https://a.example/path'],
      'ima:enforcing http://b.example:8002  https://a.example/path/ file:///srv nonsense',
    );
    assert.deepEqual(
      urls.map(({ href }) => href),
      ['https://a.example/path/', 'http://b.example:8002/'],
    );
    assert.deepEqual(debuginfodServers([], undefined), []);
  });
});
