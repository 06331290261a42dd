/**
 * `npm run bench`: prints a table of what profiling costs here and writes it as
 * JSON. Needs root, and a machine that does nothing else.
 *
 *   --only NAME     one case (may be repeated): a load, or slope, peers, peers-alone,
 *                   record, short, first-second, replay, debug-names, go-names, symbols,
 *                   otlp-encode, delivery, dead-backend, wire
 *   --seconds N     length of a window (default 20)
 *   --output FILE   default build/bench/bench.json
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { REPOSITORY } from '../harness/programs.ts';
import {
  besidePeers,
  depthSlope,
  firstSecond,
  onLoad,
  peersAlone,
  recordCost,
  replay,
  type Setting,
  shortProcesses,
} from './cases.ts';
import { deadBackend } from './dead-backend.ts';
import { debugNames } from './debug-names.ts';
import { delivery } from './delivery.ts';
import { goNames } from './go-names.ts';
import { LOADS } from './loads.ts';
import { enableBpfStats } from './meter.ts';
import { otlpEncode } from './otlp-encode.ts';
import { symbolIndex } from './symbol-index.ts';
import { type Figure, formatTable } from './table.ts';
import { wire } from './wire.ts';

/** The aim is for 100,000 symbols. */
function symbolFigures(): Figure[] {
  const { symbols, firstMs, medianMs } = symbolIndex();
  const scale = 100_000 / symbols;
  return [
    {
      what: '.symtab of 100,000 symbols indexed, first time',
      unit: 'ms of CPU',
      ours: firstMs * scale,
      atMost: 60,
      stretch: 30,
      note: `${symbols} symbols; later ${(medianMs * scale).toFixed(0)} ms`,
    },
  ];
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    seconds: { type: 'string', default: '20' },
    output: { type: 'string', default: join(REPOSITORY, 'build', 'bench', 'bench.json') },
  },
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) throw new Error(`--seconds ${values.seconds} is not a positive number`);
const setting: Setting = { seconds, settle: Math.min(6, seconds), port: 7199 };

const cases = new Map<string, () => Promise<Figure[]>>([
  ...LOADS.map(({ name }) => [name, () => onLoad(name, setting)] as const),
  ['slope', () => depthSlope(setting)],
  ['peers', () => besidePeers(setting)],
  ['record', () => recordCost(setting)],
  ['short', () => shortProcesses(setting)],
  ['first-second', () => firstSecond(setting)],
  ['replay', () => replay(setting)],
  ['otlp-encode', otlpEncode],
  ['delivery', delivery],
  ['dead-backend', deadBackend],
  ['wire', () => wire(setting)],
  ['debug-names', debugNames],
  ['go-names', goNames],
  ['symbols', async () => symbolFigures()],
  ['peers-alone', () => peersAlone(setting)],
]);
const wanted = values.only ?? [...cases.keys()];
for (const name of wanted) {
  if (!cases.has(name)) {
    throw new Error(`--only ${name}: there are ${[...cases.keys()].join(', ')}`);
  }
}

const figures: Figure[] = [];
const failures: Record<string, string> = {};
const restore = enableBpfStats();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    restore();
    process.exit(130);
  });
}
try {
  for (const name of wanted) {
    process.stderr.write(`${name} …\n`);
    try {
      figures.push(...(await cases.get(name)!()));
    } catch (error) {
      // the other cases are worth having; the exit code says that one is missing
      failures[name] = error instanceof Error ? error.message : String(error);
      process.stderr.write(`${name}: ${failures[name]}\n`);
    }
  }
} finally {
  restore();
}

const machine = {
  kernel: release(),
  cpus: cpus().length,
  model: cpus()[0]?.model ?? '',
  memoryMib: Math.round(totalmem() / 1024 / 1024),
  loadBefore: readFileSync('/proc/loadavg', 'utf8').trim(),
};
mkdirSync(dirname(values.output), { recursive: true });
writeFileSync(
  values.output,
  `${JSON.stringify({ time: new Date().toISOString(), machine, seconds, figures, failures }, null, 2)}\n`,
);
if (figures.length > 0) process.stdout.write(`${formatTable(figures)}\n`);
process.stderr.write(`written to ${values.output}\n`);
if (Object.keys(failures).length > 0) process.exitCode = 1;
