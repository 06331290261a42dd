// Parses, matches, hashes and sorts made-up orders until killed; argument: idle ms between rounds.
import { createHash } from 'node:crypto';

interface Order {
  readonly id: number;
  readonly customer: string;
  readonly lines: readonly { readonly item: number; readonly price: number }[];
}

let state = 7;
const next = (): number => {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return state;
};
const orders = (count: number): Order[] =>
  Array.from({ length: count }, (_, id) => ({
    id,
    customer: `customer-${next() % 5000}`,
    lines: Array.from({ length: 4 }, () => ({ item: next() % 900, price: (next() % 10000) / 100 })),
  }));
const totals = (list: readonly Order[]): number[] =>
  list.map((order) => order.lines.reduce((sum, line) => sum + line.price, 0)).sort((a, b) => a - b);
const digits = (list: readonly Order[]): number =>
  list.reduce((sum, order) => sum + Number(/-(\d+)$/.exec(order.customer)?.[1]), 0);
function round(): number {
  const list = JSON.parse(JSON.stringify(orders(250))) as Order[];
  const hash = createHash('sha256');
  for (const order of list) hash.update(order.customer.replaceAll('-', '_'));
  return totals(list)[3]! + digits(list) + hash.digest('hex').length;
}

const idle = Number(process.argv[2] ?? 0);
function again(sum: number): void {
  const more = sum + round();
  if (idle > 0) setTimeout(again, idle, more);
  else setImmediate(again, more);
}
again(0);
