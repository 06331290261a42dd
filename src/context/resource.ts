/** Resource attributes of a process, from what it publishes and from its environment. */
import type { Label } from '../profile/model.ts';
import type { ContextValue, ProcessContext } from './process-context.ts';

/**
 * What becomes of a resource is up to receivers; Pyroscope makes series of it and
 * takes 30 names. What we know ourselves, as the pid, is not taken from a process
 * that may see itself differently.
 */
const WANTED = /^(service|telemetry\.sdk|telemetry\.distro|deployment)\..+$/;
const MAX_KEY = 128;
const MAX_VALUE = 1024;
const MAX_ATTRIBUTES = 20;
/** What SDKs say when nobody has named the service. */
const UNNAMED = /^unknown_service(:|$)/;

/**
 * Sorted by key, of bounded length, not cleaned. The process context goes before the environment: it is what the
 * process's own SDK has made of both its environment and its code.
 */
export function resourceLabels(
  context: ProcessContext | undefined,
  environment: ReadonlyMap<string, string>,
): readonly Label[] {
  const labels = new Map<string, string>();
  for (const source of [context?.resource ?? [], environment]) {
    for (const [key, value] of source) {
      const text = asText(value);
      const isUnnamed = key === 'service.name' && UNNAMED.test(text);
      if (text === '' || isUnnamed || labels.has(key)) continue;
      if (WANTED.test(key) && key.length <= MAX_KEY) labels.set(key, text);
    }
  }
  return [...labels]
    .slice(0, MAX_ATTRIBUTES)
    .map(([key, value]) => ({ key, value }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

function asText(value: ContextValue): string {
  switch (typeof value) {
    case 'string':
      return value.trim().slice(0, MAX_VALUE).toWellFormed();
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    default:
      return '';
  }
}
