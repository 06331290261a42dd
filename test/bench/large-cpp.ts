/** A C++ program with more than 100 MB of debug information, as large services have. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/programs.ts';

/** Compiled; the linker gets each of them several times under other names. */
const UNITS = 4;
const COPIES = 16;
/** Different container types per unit. */
const TYPES = 12;
const FOLDER = join(REPOSITORY, 'build', 'bench', `large-cpp-${UNITS}x${COPIES}x${TYPES}`);

/** Path of the program; built at the first call of all, in about two minutes of CPU. */
export function buildLargeCpp(): string {
  const program = join(FOLDER, 'large');
  if (existsSync(program)) return program;
  mkdirSync(FOLDER, { recursive: true });
  const run = (tool: string, args: readonly string[]) =>
    execFileSync(tool, args, { cwd: FOLDER, stdio: ['ignore', 'ignore', 'inherit'] });
  const objects: string[] = [];
  for (let unit = 0; unit < UNITS; unit++) {
    writeFileSync(join(FOLDER, `unit${unit}.cc`), unitText(unit));
    run('g++', ['-c', '-O1', '-g', '-o', `unit${unit}.o`, `unit${unit}.cc`]);
    for (let copy = 0; copy < COPIES; copy++) {
      const object = `unit${unit}-${copy}.o`;
      const renamed = `_Z3alli=all_${unit}_${copy}`;
      run('objcopy', ['--redefine-sym', renamed, `unit${unit}.o`, object]);
      objects.push(object);
    }
  }
  writeFileSync(join(FOLDER, 'main.cc'), mainText());
  run('g++', ['-O1', '-g', '-o', 'partial', 'main.cc', ...objects]);
  for (const object of objects) rmSync(join(FOLDER, object));
  renameSync(join(FOLDER, 'partial'), program);
  return program;
}

function unitText(unit: number): string {
  const parts = [
    '#include <algorithm>\n#include <functional>\n#include <map>\n#include <memory>',
    '#include <string>\n#include <unordered_map>\n#include <vector>\n',
    // Nothing in it is visible outside: the linker keeps the code of each copy.
    'namespace {',
  ];
  for (let type = 0; type < TYPES; type++) {
    parts.push(
      `struct Key${type} { int a[${(type % 5) + unit + 1}]; bool operator<(const Key${type} &o) const { return a[0] < o.a[0]; } };`,
      `struct Value${type} { std::string text; std::vector<Key${type}> keys; };`,
      `long work${type}(int x) {`,
      `  std::map<Key${type}, Value${type}> map; std::unordered_map<std::string, std::shared_ptr<Value${type}>> index;`,
      `  std::function<long(const Value${type} &)> size = [x](const Value${type} &v) { return long(v.keys.size()) + x; };`,
      `  for (int i = 0; i < x; i++) { auto &v = map[Key${type}{{i}}]; v.text = std::to_string(i * ${type + 3}); v.keys.push_back({{i}}); index[v.text] = std::make_shared<Value${type}>(v); }`,
      `  long sum = 0; for (auto &[key, value] : map) { std::sort(value.keys.begin(), value.keys.end()); sum += size(value) + key.a[0]; }`,
      `  for (auto &[text, value] : index) sum += long(text.size()) + size(*value);`,
      '  return sum;\n}',
    );
  }
  const calls = Array.from({ length: TYPES }, (_, type) => `work${type}(x)`).join(' + ');
  parts.push(`}\nlong all(int x) { return ${calls}; }`);
  return `${parts.join('\n')}\n`;
}

function mainText(): string {
  const names = Array.from({ length: UNITS }, (_, unit) => unit).flatMap((unit) =>
    Array.from({ length: COPIES }, (_, copy) => `all_${unit}_${copy}`),
  );
  const declared = names.map((name) => `extern "C" long ${name}(int);`).join('\n');
  const called = names.map((name) => `${name}(argc)`).join(' + ');
  return `${declared}\nint main(int argc, char **) { return int(${called}) & 1; }\n`;
}
