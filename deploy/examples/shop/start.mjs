#!/usr/bin/env node
// Starts the shop: the agent unless one runs already, three services, customers. Says which
// traces were slow and how to look into them. Ctrl-C ends it all.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const SHOP = import.meta.dirname;
const FLAMETAP = join(SHOP, '../../../flametap');
/** 24 or newer, as the set-up chose: older ones do not show what is current in AsyncLocalStorage. */
const NODE = join(SHOP, '../../../build/node');
const AGENT = 'http://127.0.0.1:7099';
const REPORT_MS = 15_000;
const CUSTOMERS = 3;
/** Of every hundred baskets. */
const GIFTS = 3;
const BOOKS = 3;

const seconds = Number(process.argv[2] ?? 0);
const folder = mkdtempSync(join(tmpdir(), 'flametap-shop-'));
const children = [];
let isOver = false;

function need(command, args, cwd, hint) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  console.error(`shop: ${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`);
  console.error(`shop: ${hint}`);
  end(1);
}

function run(name, command, args, environment, onLine) {
  const child = spawn(command, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 2],
  });
  child.on('error', ({ message }) => fail(`${name}: ${message}`));
  child.on('exit', (code, signal) => {
    if (!isOver) fail(`${name} ended (${signal ?? `exit code ${code}`})`);
  });
  createInterface({ input: child.stdout }).on('line', onLine);
  children.push(child);
}

function fail(reason) {
  console.error(`shop: ${reason}`);
  end(1);
}

function end(code) {
  isOver = true;
  for (const child of children) child.kill('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
  process.exitCode = code;
  setTimeout(() => process.exit(code), 6_000).unref();
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

async function answers(url) {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (isOver) return;
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  fail(`${url} does not answer`);
}

/** The slowest first; all services' lines of one trace are one. */
const slow = new Map();
function note(line) {
  let span;
  try {
    span = JSON.parse(line);
  } catch {
    return;
  }
  if (typeof span.trace_id !== 'string') return;
  const before = slow.get(span.trace_id);
  if (!before || before.ms < span.ms) slow.set(span.trace_id, span);
}

function report() {
  const [worst] = [...slow.values()].sort((a, b) => b.ms - a.ms);
  slow.clear();
  if (!worst) return;
  const { trace_id: id } = worst;
  console.log(`shop: slowest of the last moments: ${worst.ms} ms, trace ${id}`);
  console.log(`  page     ${AGENT}/?trace_id=${id}`);
  console.log(`  terminal flametap view --trace-id ${id}`);
}

function basket() {
  const chance = Math.random() * 100;
  if (chance < GIFTS) return 'gift-teapot';
  return chance < GIFTS + BOOKS ? 'book-of-hours' : 'candle';
}

async function customer(address) {
  while (!isOver) {
    try {
      await (await fetch(`${address}/basket?item=${basket()}`)).arrayBuffer();
    } catch (cause) {
      if (!isOver) console.error(`shop: a customer was turned away: ${cause.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20 + 60 * Math.random()));
  }
}

process.on('SIGINT', () => end(0));
process.on('SIGTERM', () => end(0));
if (seconds > 0) setTimeout(() => end(0), seconds * 1000);

console.log('shop: building the services');
need(
  'go',
  ['build', '-o', `${folder}/`, './frontend', './stock'],
  SHOP,
  'see above; Go 1.21 or newer is needed',
);
if (!existsSync(join(SHOP, 'prices/node_modules'))) {
  need(
    'npm',
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund'],
    join(SHOP, 'prices'),
    'see above; npm and the npm registry are needed',
  );
}
if (!isOver) {
  const ports = { frontend: await freePort(), stock: await freePort(), prices: await freePort() };
  const at = (service) => `127.0.0.1:${ports[service]}`;
  const serve = (name, command, args, more = {}) => {
    const environment = { OTEL_SERVICE_NAME: name, LISTEN: at(name), ...more };
    run(name, command, args, environment, note);
  };
  const isRunning = await fetch(`${AGENT}/healthz`).then(
    () => true,
    () => false,
  );
  if (!isRunning) run('agent', FLAMETAP, ['agent'], {}, (line) => console.log(line));
  serve('stock', join(folder, 'stock'), []);
  // V8 writes the names of what it compiles to /tmp/perf-PID.map.
  const named = ['--perf-basic-prof', '--interpreted-frames-native-stack'];
  serve('prices', NODE, [...named, join(SHOP, 'prices/service.mjs')]);
  serve('frontend', join(folder, 'frontend'), [], {
    STOCK_URL: `http://${at('stock')}`,
    PRICES_URL: `http://${at('prices')}`,
  });
  for (const service of Object.keys(ports)) await answers(`http://${at(service)}/`);
  console.log('shop: the page lets a browser in by the address of: flametap view --address');
  console.log(`shop: open on ${at('frontend')}; customers are coming, Ctrl-C closes it`);
  for (let i = 0; i < CUSTOMERS; i++) void customer(`http://${at('frontend')}`);
  setInterval(report, REPORT_MS).unref();
}
