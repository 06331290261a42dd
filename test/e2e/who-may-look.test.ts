/** What other users of the machine learn from a running agent, and what leaves it at all. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { toldAddresses } from '../../src/profile/told-addresses.test-support.ts';
import { ask } from '../../src/viewer/ask.test-support.ts';
import { readToken, tokenPath } from '../../src/viewer/token-file.ts';
import { type RunningAgent, startAgent } from '../harness/agent.ts';
import { buildProgram } from '../harness/programs.ts';
import { pause } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'who-may-look-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const PROFILES = ['pprof', 'otlp', 'json', 'folded', 'html'].map((form) => `api/profile.${form}`);
const PAGES = ['', 'api/flame', 'api/processes', 'api/status', 'api/summary', 'api/traces'];
const OPEN = ['healthz', 'readyz', 'metrics'];

/** Answers as user `nobody` gets them: status by path; and what comes of reading the token. */
async function asNobody(
  url: string,
  tokenFile: string,
): Promise<{ statuses: number[]; token: string }> {
  const program = `
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    const paths = ${JSON.stringify([...OPEN, ...PAGES, ...PROFILES])};
    const get = async (path) => {
      const reply = await fetch(${JSON.stringify(url)} + path);
      await reply.arrayBuffer();
      return reply.status;
    };
    let token;
    try { token = require('node:fs').readFileSync(${JSON.stringify(tokenFile)}, 'utf8'); }
    catch (error) { token = error.code; }
    (async () => {
      const statuses = [];
      for (const path of paths) statuses.push(await get(path));
      console.log(JSON.stringify({ statuses, token }));
    })();
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program]);
  return JSON.parse(stdout);
}

const tokenFileOf = ({ url }: RunningAgent): string =>
  tokenPath(Number(new URL(url).port), { uid: 0, runtimeFolder: undefined })!;

async function busyAgent(viewer: object) {
  const directory = join(mkdtempSync(join(folder, 'run-')), 'profiles');
  const agent = await startAgent(mkdtempSync(join(folder, 'config-')), {
    viewer: { listen: '127.0.0.1:0', ...viewer },
    profile: { interval: '2s' },
    exporters: [
      { files: { name: 'pprof', directory } },
      { files: { name: 'otlp', directory: `${directory}-otlp`, format: 'otlp' } },
    ],
  });
  const programs = [
    spawn(buildProgram('jit'), ['1000'], { stdio: 'ignore' }),
    spawn('/bin/dd', ['if=/dev/zero', 'of=/dev/null', 'bs=64K'], { stdio: 'ignore' }),
  ];
  return {
    agent,
    exported: () =>
      [directory, `${directory}-otlp`].flatMap((one) =>
        readdirSync(one).map((name) => readFileSync(join(one, name))),
      ),
    async stop() {
      for (const program of programs) program.kill();
      assert.equal(await agent.stop(), 0);
    },
  };
}

/** Waits until the kernel's and generated code have been seen, and are among what is exported. */
async function untilSampled(get: (path: string) => Promise<Buffer>): Promise<void> {
  for (let i = 0; ; i++) {
    const [kernel, generated] = [
      await seen('dd', /"type":"kernel"/),
      await seen('jit', /"module":"\[anon\]"/),
    ];
    if (kernel && generated) return;
    assert.ok(i < 100, `of the kernel ${kernel}, of generated code ${generated}`);
    await pause(500);
  }
  async function seen(program: string, what: RegExp): Promise<boolean> {
    return what.test((await get(`api/profile.json?process=${program}`)).toString());
  }
}

test('other users see that it runs, and counts; root sees all but addresses of memory', async () => {
  const { agent, exported, stop } = await busyAgent({});
  const tokenFile = tokenFileOf(agent);
  try {
    const headers = { authorization: `Bearer ${readToken(tokenFile)}` };
    const get = async (path: string) => {
      // Each on a connection of its own: the agent closes those that are idle for long.
      const reply = await ask(agent.url, `/${path}`, headers);
      assert.equal(reply.status, 200, path);
      return reply.body;
    };
    await untilSampled(get);
    const { statuses, token } = await asNobody(agent.url, tokenFile);
    assert.equal(token, 'EACCES');
    assert.deepEqual(statuses, [...OPEN.map(() => 200), ...[...PAGES, ...PROFILES].map(() => 401)]);
    for (const path of [...OPEN, ...PAGES, ...PROFILES])
      assert.deepEqual(toldAddresses(await get(path)), [], path);
    assert.deepEqual(toldAddresses(Buffer.from(JSON.stringify(agent.log))), [], 'the log');
    assert.ok(!JSON.stringify(agent.log).includes(readToken(tokenFile)), 'nor the token');
  } finally {
    await stop();
  }
  assert.ok(exported().length >= 4);
  for (const file of exported()) assert.deepEqual(toldAddresses(file), []);
  assert.equal(existsSync(tokenFile), false, 'the token ends with its agent');
});

test('with viewer.access local everybody here may look, and still learns no address', async () => {
  const { agent, stop } = await busyAgent({ access: 'local' });
  try {
    await untilSampled(async (path) =>
      Buffer.from(await (await fetch(agent.url + path)).arrayBuffer()),
    );
    const { statuses } = await asNobody(agent.url, tokenFileOf(agent));
    assert.deepEqual(new Set(statuses), new Set([200]));
    const reply = await fetch(`${agent.url}api/profile.pprof`);
    assert.deepEqual(toldAddresses(Buffer.from(await reply.arrayBuffer())), []);
  } finally {
    await stop();
  }
});
