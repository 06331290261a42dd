/** A Go program whose function table has the size of the largest services'. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/programs.ts';

const PACKAGES = 33;
/** With about 1,080 bytes of table each they make 20 MB. */
const FUNCTIONS = 570;
const FOLDER = join(REPOSITORY, 'build', 'bench', `large-go-${PACKAGES}x${FUNCTIONS}`);

/** Path of the stripped program; built at the first call of all, in some minutes of CPU. */
export function buildLargeGo(): string {
  const program = join(FOLDER, 'large');
  if (existsSync(program)) return program;
  const names = Array.from({ length: PACKAGES }, (_, index) => `p${index}`);
  for (const name of names) {
    mkdirSync(join(FOLDER, name), { recursive: true });
    writeFileSync(join(FOLDER, name, 'code.go'), packageText(name));
  }
  const imports = names.map((name) => `import "large/${name}"\n`).join('');
  const calls = names.map((name) => `\tsum += ${name}.All(x)\n`).join('');
  writeFileSync(
    join(FOLDER, 'main.go'),
    `package main\n\n${imports}import "os"\n\nfunc main() {\n\tx, sum := len(os.Args), 0\n${calls}\tos.Exit(sum & 1)\n}\n`,
  );
  writeFileSync(join(FOLDER, 'go.mod'), 'module large\n\ngo 1.18\n');
  const partial = `${program}.partial`;
  execFileSync('go', ['build', '-ldflags=-s -w', '-o', partial], {
    cwd: FOLDER,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  renameSync(partial, program);
  return program;
}

function packageText(name: string): string {
  const parts = [
    `package ${name}\n`,
    'type table struct{ rows []row; sum int }\ntype row struct{ key, value int; text string }\n',
    'func clamp(x int) int { if x > 1000 { return half(x) }; return x }',
    'func half(x int) int { if x < 0 { return -x }; return x / 2 }',
    'func (t *table) at(i int) *row { return &t.rows[wrap(i, len(t.rows))] }',
    'func wrap(i, n int) int { if n == 0 { return 0 }; return (i & 0x7fffffff) % n }',
    'func (r *row) mix(x int) int { return clamp(r.key^x) + len(r.text) }',
    'func (t *table) add(r row) { t.rows = append(t.rows, r); t.sum += clamp(r.value) }\n',
  ];
  for (let index = 0; index < FUNCTIONS; index++) parts.push(functionText(index));
  const calls = Array.from({ length: FUNCTIONS }, (_, index) => `\tsum += t.work${index}(x)\n`);
  parts.push(`func All(x int) (sum int) {\n\tt := &table{}\n${calls.join('')}\treturn sum\n}\n`);
  return parts.join('\n');
}

/** Shapes vary so that the linker finds nothing to share. */
function functionText(index: number): string {
  const statements: string[] = [];
  for (let at = 0; at < 4 + (index % 5); at++) {
    const seed = index * 31 + at * 7;
    statements.push(
      `\tif x&${1 << (seed % 20)} != 0 {\n\t\tsum += t.at(x + ${seed}).mix(sum)\n\t} else {`,
      `\t\tt.add(row{x, clamp(sum + ${seed}), "${'x'.repeat(seed % 9)}"})\n\t}`,
    );
  }
  return `//go:noinline\nfunc (t *table) work${index}(x int) (sum int) {\n${statements.join('\n')}\n\treturn half(sum)\n}\n`;
}
