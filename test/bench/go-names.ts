/** What names of Go code cost: opening a large function table, look-ups with inlined calls. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { GoNamesRun } from './go-names-run.ts';
import { buildLargeGo } from './large-go.ts';
import type { Figure } from './table.ts';

const RUN = fileURLToPath(import.meta.resolve('./go-names-run.ts'));
/** Fresh processes; the middle one counts. */
const RUNS = 5;

const middle = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;

export async function goNames(): Promise<Figure[]> {
  const program = buildLargeGo();
  const runs = Array.from({ length: RUNS }, () => {
    const output = execFileSync(process.execPath, [RUN, program], { encoding: 'utf8' });
    return JSON.parse(output) as GoNamesRun;
  });
  const { tableMib, functions, inlinedPercent, addresses } = runs[0]!;
  const peer = middle(runs.map((run) => addr2lineSeconds(program, run.sample)));
  const cold = middle(runs.map((run) => run.wholeSeconds));
  return [
    {
      what: 'gopclntab: open and first look-up, cold',
      unit: 'ms',
      ours: middle(runs.map((run) => run.openMs)),
      atMost: 50,
      stretch: 20,
      note: `${tableMib.toFixed(1)} MiB, ${functions} functions, stripped`,
    },
    {
      what: 'gopclntab: look-ups with inlined calls',
      unit: '/s',
      ours: middle(runs.map((run) => run.perSecond)),
      atLeast: 300_000,
      stretch: 1_000_000,
      note: `${addresses} random addresses, ${inlinedPercent.toFixed(0)} % with inlined calls; the first time ${Math.round(middle(runs.map((run) => run.firstPerSecond)))}/s; ${middle(runs.map((run) => run.rssMib)).toFixed(0)} MiB`,
    },
    {
      what: `gopclntab: ${addresses} addresses, process start to end`,
      unit: 's',
      ours: cold,
      peer,
      peerName: 'go tool addr2line',
      note: 'the peer has no inlined calls',
    },
  ];
}

function addr2lineSeconds(program: string, sample: readonly number[]): number {
  const started = performance.now();
  execFileSync('go', ['tool', 'addr2line', program], {
    input: sample.map((address) => `0x${address.toString(16)}\n`).join(''),
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  return (performance.now() - started) / 1000;
}
