/** Addresses that only this machine reaches. */
import { isIPv4 } from 'node:net';

/** Only names that cannot lead anywhere else: every browser resolves localhost itself. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  if (name === 'localhost' || name === '::1') return true;
  return isIPv4(name) && name.startsWith('127.');
}
