import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { shortName } from './short-name.ts';

const SEED = 20261121;
const LIBSTDCXX = '/usr/lib/x86_64-linux-gnu/libstdc++.so.6';

const run = (command: string, args: readonly string[], input = ''): string[] =>
  execFileSync(command, args, { input, encoding: 'utf8', maxBuffer: 1 << 29 })
    .trimEnd()
    .split('\n');

const symbolsOf = (file: string, pattern: RegExp, ...args: string[]): string[] => [
  ...new Set(
    run('nm', [...args, '--defined-only', '-P', file])
      .map((line) => line.split(' ')[0]!.replace(/@.*/, ''))
      .filter((name) => pattern.test(name)),
  ),
];

/** What c++filt makes of the names, each twice: whole, and without parameters and return types. */
function cxxNames(mangled: readonly string[]): { whole: string[]; bare: string[] } {
  const input = `${mangled.join('\n')}\n`;
  return { whole: run('c++filt', ['-i'], input), bare: run('c++filt', ['-i', '-p'], input) };
}

/** Where gdc's own library is; its number changes with every release. */
const phobos = (): string => run('gdc', ['-print-file-name=libgphobos.so'])[0]!;

const rustNames = (): string[] => {
  const sysroot = run('rustc', ['--print', 'sysroot'])[0]!;
  const library = run('find', [sysroot, '-name', 'libstd-*.so'])[0]!;
  return symbolsOf(library, /^_ZN.*17h[0-9a-f]{16}E$|^_R/, '-D');
};

test('C++: what was left out is what is left out, whatever the name', () => {
  const rows = [
    [
      'std::vector<int, std::allocator<int> >::push_back(int const&)',
      'std::vector<...>::push_back',
    ],
    ['void foo<int>(int)', 'foo<...>'],
    ['A::operator std::vector<int, std::allocator<int> >()', 'A::operator std::vector<...>'],
    ['A::operator unsigned long() const', 'A::operator unsigned long'],
    [
      'std::ostream& std::operator<< <std::c<char> >(std::ostream&, char const*)',
      'std::operator<< <...>',
    ],
    ['bool operator< <int>(A<int> const&, A<int> const&)', 'operator< <...>'],
    ['A::operator<=>(A const&) const', 'A::operator<=>'],
    ['A::operator->() const', 'A::operator->'],
    [
      'main::{lambda(int, A<int>)#1}::operator()(int, A<int>) const',
      'main::{lambda()#1}::operator()',
    ],
    [
      'auto A::f(int)::{lambda(auto:1)#2}::operator()<int>(int) const',
      'A::f::{lambda()#2}::operator()<...>',
    ],
    ['(anonymous namespace)::f((anonymous namespace)::T)', '(anonymous namespace)::f'],
    ['int* (anonymous namespace)::f<char>(int)', '(anonymous namespace)::f<...>'],
    ['f(int) [clone .part.0] [clone .cold]', 'f [clone .part.0] [clone .cold]'],
    ['void (*g<int>(int))(char)', 'g<...>'],
    ['A<(1)<(2), ((3)>(4))>::h()', 'A<...>::h'],
    ['decltype (a<b>()) k<int>(int)', 'k<...>'],
    ['non-virtual thunk to A<int>::f(int)', 'non-virtual thunk to A<...>::f'],
    ['operator new(unsigned long)', 'operator new'],
    ['operator delete[](void*, unsigned long)', 'operator delete[]'],
    ['x::operator"" _ms(unsigned long long)', 'x::operator"" _ms'],
    ['A::f() const &', 'A::f'],
    ['std::string::c_str[abi:cxx11]() const', 'std::string::c_str[abi:cxx11]'],
    ['operator new(unsigned long)@plt', 'operator new@plt'],
  ] as const;
  for (const [name, short] of rows) assert.equal(shortName(name, '_Zx', 'native'), short);
});

test('C++: names of real binaries lose the same as when c++filt leaves out parameters', () => {
  const mangled = [
    ...symbolsOf(LIBSTDCXX, /^_Z[^TG]/, '-D'),
    ...symbolsOf(process.execPath, /^_Z[^TG]/).filter((_, index) => index % 5 === 0),
  ].filter((name) => name.length < 1000 && !name.includes('.'));
  const { whole, bare } = cxxNames(mangled);
  assert.ok(whole.length > 20_000, `${whole.length} names`);
  let folded = 0;
  for (const [index, name] of whole.entries()) {
    const short = shortName(name, mangled[index]!, 'native');
    const expected = shortName(bare[index]!, mangled[index]!, 'native');
    assert.equal(short, expected, name);
    // Where c++filt leaves no brackets of any kind there is nothing to fold either.
    if (!/[<{(]/.test(bare[index]!)) assert.equal(short, bare[index]);
    if (short.includes('<...>')) folded++;
  }
  assert.ok(folded > 5000, `${folded} folded`);
});

test('Rust: arguments are folded, the type and trait of a method stay', () => {
  const rows = [
    [
      '<alloc::vec::Vec<u8> as core::clone::Clone>::clone',
      '<alloc::vec::Vec<...> as core::clone::Clone>::clone',
    ],
    ['core::ptr::drop_in_place<alloc::string::String>', 'core::ptr::drop_in_place<...>'],
    ['std::mem::align_of::<usize, f64>', 'std::mem::align_of::<...>'],
    [
      'core::fmt::num::<impl core::fmt::Display for u32>::fmt',
      'core::fmt::num::<impl core::fmt::Display for u32>::fmt',
    ],
    [
      '<F as core::ops::FnOnce<A>>::call_once{{vtable.shim}}',
      '<F as core::ops::FnOnce<...>>::call_once{{vtable.shim}}',
    ],
    [
      '<<T as a::A<u8>>::B as a::C>::d::{closure#0}',
      '<<T as a::A<...>>::B as a::C>::d::{closure#0}',
    ],
    ['<dyn Fn(&str) -> Option<u8> + Send>::f', '<dyn Fn(&str) -> Option<...> + Send>::f'],
  ] as const;
  for (const [name, short] of rows) assert.equal(shortName(name, '_Rx', 'rust'), short);
});

test('Rust: names of the standard library keep their path', () => {
  const mangled = rustNames();
  const whole = run('c++filt', ['-i', '-s', 'rust'], `${mangled.join('\n')}\n`);
  assert.ok(whole.length > 1000, `${whole.length} names`);
  for (const [index, name] of whole.entries()) {
    const short = shortName(name, mangled[index]!, 'rust');
    const last = /[\w$]+(?:\{\{.*\}\})?$/.exec(name)?.[0];
    if (last !== undefined) assert.ok(short.endsWith(last), `${name} became ${short}`);
    // Each `<` that is left begins a type of its own or is folded.
    for (const [, before, after] of short.matchAll(/(.?)<(.{3})/g)) {
      if (/\w/.test(before!)) assert.equal(after, '...', `${name} became ${short}`);
    }
  }
});

test('D: template arguments with literals are folded, parameters left out', () => {
  const rows = [
    [
      'core.atomic.atomicOp!("-=", uint).atomicOp(ref shared(uint))',
      'core.atomic.atomicOp!(...).atomicOp',
    ],
    ['object.TypeInfo.toString() const', 'object.TypeInfo.toString'],
    [`a.b!(")", '(', "\\"").c(int).d!(e!(f)).g()`, 'a.b!(...).c.d!(...).g'],
  ] as const;
  for (const [name, short] of rows) assert.equal(shortName(name, '_D1a', 'native'), short);
  const mangled = symbolsOf(phobos(), /^_D\d/, '-D');
  const whole = run('c++filt', ['-s', 'dlang'], `${mangled.join('\n')}\n`);
  let demangled = 0;
  for (const [index, name] of whole.entries()) {
    if (name === mangled[index]) continue;
    demangled++;
    const short = shortName(name, mangled[index]!, 'native');
    assert.match(short.replaceAll('!(...)', ''), /^[^()]*$/, name);
  }
  assert.ok(demangled > 5000, `${demangled} names`);
});

test('Go, JavaScript and C names are left as they are', () => {
  const rows = [
    ['main.(*T[...]).f', 'go'],
    ['main.Map[go.shape.int]', 'go'],
    ['operator<', 'v8js'],
    ['memcpy', 'native'],
    ['libc.so.6+0x1000', 'native'],
  ] as const;
  for (const [name, type] of rows) assert.equal(shortName(name, name, type), name);
});

test('damaged names are cut in linear time and never empty', () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '{lambda(',
    'operator',
    ' ',
    '::',
    'a',
    '*',
    '&',
    '->',
    '(anonymous namespace)',
    '!(',
    '"',
    "'",
    '.',
    ' const',
    'é',
  );
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 60 }), (pieces) => {
      const name = pieces.join('');
      for (const systemName of ['_Zx', '_Rx', '_D1x']) {
        assert.ok(shortName(name, systemName, 'native').length > 0, `${systemName} ${name}`);
      }
    }),
    { seed: SEED, numRuns: 5000 },
  );
  const started = process.cpuUsage();
  for (const open of ['<', '(', '{lambda(', '<impl ', '!(', 'operator', 'a<']) {
    for (const systemName of ['_Zx', '_Rx', '_D1x']) {
      shortName(open.repeat(16_000 / open.length), systemName, 'native');
    }
  }
  const { user, system } = process.cpuUsage(started);
  assert.ok(user + system < 5_000_000, `${user + system} microseconds`);
});
