/**
 * `record --go-pgo` against the program's own runtime/pprof: what the Go
 * compiler makes of both profiles of one run.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { REPOSITORY } from '../harness/programs.ts';
import { CLI, execute } from '../harness/record.ts';

const SOURCES = join(REPOSITORY, 'test/programs/go-pgo');
const folder = mkdtempSync(join(tmpdir(), 'flametap-pgo-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const program = join(folder, 'go-pgo');
const own = join(folder, 'own.pgo');
const ours = join(folder, 'flametap.pgo');
/** CPU seconds: the rarest of the hot calls then has about 25 of runtime/pprof's samples. */
const SECONDS = 8;
/** As often as a kernel of 250 ticks a second can serve the program's own profiler. */
const OWN_HZ = 249;
/** Of all call sites that either profile makes hot. */
const AGREEMENT = 0.95;

/** Runs the Go command in the module, which asks for a release with `go tool preprofile`. */
function go(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync('go', args, {
    cwd: SOURCES,
    encoding: 'utf8',
    env: { ...process.env, GOFLAGS: '-buildvcs=false', GOTOOLCHAIN: 'auto', ...environment },
  });
  assert.equal(status, 0, `go ${args.join(' ')}\n${stderr}`);
  return { stdout, stderr };
}

/** Weights of call edges, `CALLER:LINE CALLEE`, heaviest first; the line counts from the caller's start. */
function callEdges(profile: string): [edge: string, weight: number][] {
  const lines = go(['tool', 'preprofile', '-i', profile]).stdout.trimEnd().split('\n');
  assert.equal(lines.shift(), 'GO PREPROFILE V1');
  const edges: [string, number][] = [];
  for (let at = 0; at + 2 < lines.length; at += 3) {
    const [line, weight] = lines[at + 2]!.split(' ');
    edges.push([`${lines[at]}:${line} ${lines[at + 1]}`, Number(weight)]);
  }
  return edges;
}

/** The edges that the compiler takes for hot: the heaviest that make up 99 % (inline/inl.go, hotNodesFromCDF). */
function hotEdges(edges: readonly [string, number][]): Set<string> {
  const total = edges.reduce((sum, [, weight]) => sum + weight, 0);
  const hot = new Set<string>();
  let sum = 0;
  for (const [edge, weight] of edges) {
    hot.add(edge);
    sum += weight;
    if ((sum / total) * 100 > 99) break;
  }
  return hot;
}

/** What the compiler says that it does because of a profile, in the packages of the program. */
function decisions(profile: string): Set<string> {
  // The flag that -pgo sets, for these packages only: Go's own need not be built anew.
  const flags = `-gcflags=pgo/...=-pgoprofile=${profile} -d=pgodebug=1 -m`;
  const { stderr } = go(['build', '-pgo=off', flags, '-o', join(folder, 'by-flags'), '.']);
  return new Set(stderr.split('\n').filter((line) => /\bhot-(node|budget)|PGO/.test(line)));
}

const list = (edges: Iterable<string>): string => [...edges].join('\n  ');

/** At least AGREEMENT of all that either has. */
function expectAgreement(byOwn: ReadonlySet<string>, byOurs: ReadonlySet<string>): void {
  const onlyOwn = [...byOwn].filter((one) => !byOurs.has(one));
  const onlyOurs = [...byOurs].filter((one) => !byOwn.has(one));
  const all = byOwn.size + onlyOurs.length;
  const share = 1 - (onlyOwn.length + onlyOurs.length) / all;
  console.log(`# ${byOwn.size} of its own, ${byOurs.size} of ours, agreement ${share.toFixed(3)}`);
  assert.ok(
    share >= AGREEMENT,
    `agreement ${share}; only by its own:\n  ${list(onlyOwn)}\nonly by ours:\n  ${list(onlyOurs)}`,
  );
}

before(async () => {
  go(['build', '-trimpath', '-ldflags=-s -w', '-o', program, '.']);
  const { code, stderr } = await execute(
    [
      ...[CLI, 'record', '--go-pgo', '--hz', '499', '--output', ours, '--'],
      ...[program, String(SECONDS), own, String(OWN_HZ)],
    ],
    // A signal that asks for preemption and one of the profiler arrive together: the
    // program's own profile has those samples in the signal's code, not in the function's.
    { GODEBUG: 'asyncpreemptoff=1' },
  );
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Go profile of \S+\/go-pgo \([\d,]+ samples of 1 process\)/);
});

// Calls through interfaces and function values, of methods, closures and generic functions.
test("the hot call sites are those of the program's own profile", () => {
  const [ownEdges, ourEdges] = [callEdges(own), callEdges(ours)];
  const [ownHot, ourHot] = [hotEdges(ownEdges), hotEdges(ourEdges)];
  assert.ok(ownHot.size >= 18, `only ${ownHot.size} hot call sites:\n  ${list(ownHot)}`);
  expectAgreement(ownHot, ourHot);
});

test('the compiler inlines and devirtualises the same calls by both profiles', () => {
  const [ownDecisions, ourDecisions] = [decisions(own), decisions(ours)];
  for (const kind of [
    /PGO devirtualizing interface call/,
    /PGO devirtualizing function call/,
    /hot-budget/,
  ])
    assert.ok(
      [...ourDecisions].some((line) => kind.test(line)),
      `${kind}:\n  ${list(ourDecisions)}`,
    );
  expectAgreement(ownDecisions, ourDecisions);
});

test('go build -pgo takes the file', () => {
  const built = join(folder, 'with-pgo');
  // Every package is built anew, for this profile only: nothing to keep.
  go(['build', `-pgo=${ours}`, '-o', built, '.'], { GOCACHE: join(folder, 'cache') });
  assert.match(go(['version', '-m', built]).stdout, /build\s+-pgo=\S+flametap\.pgo/);
});
