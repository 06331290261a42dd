/** Asks elfutils (cfi-oracle.c) for the rules at addresses and states them as ours. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  encodeDerefRule,
  encodeOffsetRule,
  encodeRegisterRule,
  RBP_AT_RBP,
  RBP_SAME,
  Rule,
} from '../../unwind/rule.ts';

export function compileOracle(directory: string): string {
  const source = fileURLToPath(new URL('cfi-oracle.c', import.meta.url));
  const path = `${directory}/cfi-oracle`;
  execFileSync('gcc', ['-O1', '-o', path, source, '-ldw', '-lelf']);
  return path;
}

/** The rule that each address ought to have; Rule.None where nothing covers it. */
export function oracleRules(
  oracle: string,
  file: string,
  section: 'eh' | 'debug',
  addresses: readonly number[],
): number[] {
  const input = addresses.map((address) => `${address.toString(16)}\n`).join('');
  const output = execFileSync(oracle, [file, section], { input, maxBuffer: 256 << 20 });
  return output.toString().trimEnd().split('\n').map(expectedRule);
}

type Operation = readonly [atom: number, first: number, second: number];
const CALL_FRAME_CFA = 0x9c;
const PLT = '77:8:0,80:0:0,3f:0:0,1a:0:0,3b:0:0,2a:0:0,33:0:0,24:0:0,22:0:0';

function expectedRule(line: string): number {
  if (line === 'none') return Rule.None;
  const fields = new Map(line.split(';').map((field) => field.split('=') as [string, string]));
  const ra = fields.get('ra')!;
  if (ra === 'undefined') return Rule.End;
  const cfaText = fields.get('cfa')!;
  if (fields.get('signal') === '1')
    return cfaText === '77:160:0,6:0:0' ? Rule.Signal : Rule.Complex;
  if (ra !== '9c:0:0,23:-8:0') return Rule.Complex;
  const cfa = operations(cfaText);
  const rbp = expectedRbp(fields.get('rbp')!, cfa);
  if (rbp === undefined) return Rule.Complex;
  if (cfaText === PLT) return Rule.Plt;
  return expectedCfa(cfa, rbp);
}

function expectedCfa(cfa: readonly Operation[], rbp: number): number {
  const [first, second, third] = cfa;
  const base = first && baseOf(first);
  if (base === undefined) return Rule.Complex;
  const [register, offset] = base;
  if (offset % 8 !== 0) return Rule.Complex;
  if (cfa.length === 1) {
    if (register === 7) return encodeOffsetRule(Rule.Rsp, rbp, offset);
    if (register === 6) return encodeOffsetRule(Rule.Rbp, rbp, offset);
    return register < 16 ? encodeRegisterRule(rbp, register, offset) : Rule.Complex;
  }
  if (second![0] !== 0x06 || (register !== 6 && register !== 7)) return Rule.Complex;
  const kind = register === 7 ? Rule.RspDeref : Rule.RbpDeref;
  if (cfa.length === 2) return encodeDerefRule(kind, rbp, offset, 0);
  // plus_uconst; elfutils leaves it in that form.
  if (cfa.length === 3 && third![0] === 0x23) return encodeDerefRule(kind, rbp, offset, third![1]);
  return Rule.Complex;
}

function expectedRbp(text: string, cfa: readonly Operation[]): number | undefined {
  if (text === 'same' || text === 'undefined') return RBP_SAME;
  const [first, second] = operations(text);
  if (first?.[0] !== CALL_FRAME_CFA) return undefined;
  const count = text.split(',').length;
  if (count === 1) return undefined;
  if (count !== 2) return undefined;
  if (second![0] === 0x23) return savedAt(second![1]);
  const base = baseOf(second!);
  if (base === undefined) return undefined;
  if (base[0] === 6 && base[1] === 0) return RBP_AT_RBP;
  const cfaBase = cfa.length === 1 ? baseOf(cfa[0]!) : undefined;
  return cfaBase?.[0] === base[0] ? savedAt(base[1] - cfaBase[1]) : undefined;
}

function savedAt(offset: number): number | undefined {
  return offset % 8 === 0 && offset < 0 && offset >= -8 * 254 ? -offset / 8 : undefined;
}

/** Register and offset of breg0..breg31 and bregx. */
function baseOf([atom, first, second]: Operation): [number, number] | undefined {
  if (atom === 0x92) return [first, second];
  return atom >= 0x70 && atom < 0x90 ? [atom - 0x70, first] : undefined;
}

function operations(text: string): Operation[] {
  if (!text.includes(':')) return [];
  return text.split(',').map((item) => {
    const [atom, first, second] = item.split(':');
    return [Number.parseInt(atom!, 16), Number(first), Number(second)];
  });
}
