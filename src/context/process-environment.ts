/** What the environment of a process says of it to OpenTelemetry: `/proc/PID/environ`. */
import { ParseError } from '../elf/source.ts';

/** Variables as they stand, '' = not set. */
export interface OtelVariables {
  readonly serviceName: string;
  readonly resourceAttributes: string;
}

/** Longer ones are no attributes of anything. */
const MAX_VALUE = 16_384;
const MAX_PAIRS = 128;

/**
 * Undefined when neither is set. Programs that show a title in the list of processes
 * write it over their environment: then there may be nothing left, or pieces.
 * @param environment one character per byte (latin1)
 * @throws ParseError `too_large`
 */
export function otelVariables(environment: string): OtelVariables | undefined {
  const serviceName = variable(environment, 'OTEL_SERVICE_NAME');
  const resourceAttributes = variable(environment, 'OTEL_RESOURCE_ATTRIBUTES');
  return serviceName === '' && resourceAttributes === ''
    ? undefined
    : { serviceName, resourceAttributes };
}

/**
 * Attributes by key, as the specification of the SDKs reads the variables: pairs
 * `key=value,key=value` with percent-encoding, of which one that is wrong spoils all.
 */
export function environmentAttributes({ serviceName, resourceAttributes }: OtelVariables): {
  readonly attributes: ReadonlyMap<string, string>;
  readonly isMalformed: boolean;
} {
  const pairs = resourceAttributes.split(',', MAX_PAIRS).filter((pair) => pair.trim() !== '');
  const attributes = new Map<string, string>();
  let isMalformed = false;
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const [key, value] = [pair.slice(0, Math.max(at, 0)), pair.slice(at + 1)].map(decoded);
    if (!key || value === undefined) isMalformed = true;
    else attributes.set(key, value);
  }
  if (isMalformed) attributes.clear();
  if (serviceName.trim() !== '') attributes.set('service.name', serviceName.trim());
  return { attributes, isMalformed };
}

function variable(environment: string, name: string): string {
  const begin = `${name}=`;
  let at = environment.startsWith(begin) ? 0 : environment.indexOf(`\0${begin}`) + 1;
  if (at === 0 && !environment.startsWith(begin)) return '';
  at += begin.length;
  const end = environment.indexOf('\0', at);
  const bytes = environment.slice(at, end < 0 ? environment.length : end);
  if (bytes.length > MAX_VALUE) throw new ParseError('too_large', `${name} is too long`);
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    return undefined;
  }
}
