/** Kinds of values: what is allowed, how it is read from text and written again. */

import { Unfit } from './problem.ts';
import { durationText, readDuration, readSize, sizeText } from './quantity.ts';

export interface Kind<Value> {
  /** What is allowed, for people: `a whole number from 1 to 10000`. */
  readonly allowed: string;
  /** YAML scalars that may be meant; their text is then read. */
  readonly accepts: readonly ('string' | 'number' | 'boolean')[];
  /** @throws Unfit */
  read(text: string): Value;
  /** As YAML has it; read(String(write(value))) is the value. */
  write(value: Value): string | number | boolean;
}

/** What `config print` shows of a secret; refused when it is read. */
export const REDACTED = '[redacted]';

const MAX_TEXT = 4096;

const quoted = (value: string): string => {
  const text = withoutCredentials(value);
  return `'${text.length > 100 ? `${text.slice(0, 100)}…` : text}'`.replaceAll(
    /[\p{Cc}\p{Cs}]/gu,
    '?',
  );
};

const unfit = (text: string, allowed: string): Unfit =>
  new Unfit(`${quoted(text)} is not ${allowed}`);

export function wholeNumber(least: number, most: number): Kind<number> {
  const allowed = `a whole number from ${least} to ${most}`;
  return {
    allowed,
    accepts: ['number', 'string'],
    read: (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      if (!(value >= least && value <= most)) throw unfit(text, allowed);
      return value;
    },
    write: (value) => value,
  };
}

export const trueOrFalse: Kind<boolean> = {
  allowed: 'true or false',
  accepts: ['boolean', 'string'],
  read: (text) => {
    if (text !== 'true' && text !== 'false') throw unfit(text, 'true or false');
    return text === 'true';
  },
  write: (value) => value,
};

export function oneOf<const Word extends string>(...words: readonly Word[]): Kind<Word> {
  const allowed = `one of ${words.join(', ')}`;
  return {
    allowed,
    accepts: ['string'],
    read: (text) => {
      const found = words.find((word) => word === text);
      if (found === undefined) throw unfit(text, allowed);
      return found;
    },
    write: (value) => value,
  };
}

/** Milliseconds. @param limits as people write them; `zero`: what 0 stands for, when it is allowed */
export function duration(least: string, most: string, zero = ''): Kind<number> {
  const range = `from ${least} to ${most}${zero === '' ? '' : `, or 0: ${zero}`}`;
  return {
    allowed: `a duration ${range}`,
    accepts: ['number', 'string'],
    read: (text) => {
      const value = readDuration(text);
      if (value === undefined) throw unfit(text, `a duration: write 500ms, 10s or 1m30s, ${range}`);
      if (value === 0 && zero !== '') return value;
      if (value < readDuration(least)! || value > readDuration(most)!)
        throw new Unfit(`${quoted(text)} is out of range: ${range}`);
      return value;
    },
    write: (value) => (value === 0 ? 0 : durationText(value)),
  };
}

/** Bytes. */
export function size(
  least: string,
  most: string,
  rule = '',
  fits = (_: number) => true,
): Kind<number> {
  const range = `from ${least} to ${most}${rule === '' ? '' : `, ${rule}`}`;
  return {
    allowed: `a size ${range}`,
    accepts: ['number', 'string'],
    read: (text) => {
      const value = readSize(text);
      if (value === undefined) throw unfit(text, `a size: write 64MiB, 512KiB or 1GB, ${range}`);
      if (value < readSize(least)! || value > readSize(most)! || !fits(value))
        throw new Unfit(`${quoted(text)} is out of range: ${range}`);
      return value;
    },
    write: (value) => {
      const text = sizeText(value);
      return /^\d+$/.test(text) ? value : text;
    },
  };
}

/** @param fits undefined: any */
export function text(allowed: string, fits: (text: string) => boolean = () => true): Kind<string> {
  return {
    allowed,
    accepts: ['string'],
    read: (value) => {
      if (value.length > MAX_TEXT) throw new Unfit(`is longer than ${MAX_TEXT} characters`);
      if (/[\p{Cc}\p{Cs}\u2028\u2029\ufeff]/u.test(value))
        throw new Unfit('has control characters in it');
      if (value.includes(REDACTED))
        throw new Unfit(`'${REDACTED}' stands for a secret that config print does not show`);
      if (!fits(value)) throw unfit(value, allowed);
      return value;
    },
    write: (value) => value,
  };
}

/** @param empty what '' stands for; undefined when a path is needed */
export const path = (empty?: string): Kind<string> =>
  text(
    `an absolute path${empty === undefined ? '' : `, or "": ${empty}`}`,
    (value) => value.startsWith('/') || (value === '' && empty !== undefined),
  );

const hostAndPort: Kind<string> = text(
  'HOST:PORT, such as 127.0.0.1:7099 or [::1]:7099, or a PORT of 127.0.0.1',
  (value) => {
    const match = /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):(\d{1,5})$/.exec(value);
    return match !== null && Number(match[1]) <= 65_535;
  },
);

/** Permissions of a file, in octal digits as chmod(1) takes them; YAML reads them as a number. */
export const fileMode: Kind<number> = {
  allowed: 'a mode of a file that the agent may write and nobody runs, such as 600, 640 or 644',
  accepts: ['number', 'string'],
  read: (text) => {
    if (!/^0?6[0246]{2}$/.test(text)) throw unfit(text, fileMode.allowed);
    return Number.parseInt(text, 8);
  },
  write: (value) => Number(value.toString(8)),
};

/** A port alone is one that this machine reaches, and no other does. */
export const address: Kind<string> = {
  ...hostAndPort,
  accepts: ['string', 'number'],
  read: (value) => hostAndPort.read(/^\d{1,5}$/.test(value) ? `127.0.0.1:${value}` : value),
};

const isWebAddress = (value: string): boolean => {
  const url = URL.parse(value);
  return url !== null && /^https?:$/.test(url.protocol) && /^https?:\/\/[^/\s]+/i.test(value);
};

export const webAddress: Kind<string> = withScheme(
  text('an http:// or https:// URL', isWebAddress),
);

/** '' is found missing later, when all is known. */
export const neededWebAddress: Kind<string> = withScheme(
  text('an http:// or https:// URL', (value) => value === '' || isWebAddress(value)),
);

/** Says what `pyroscope:4040` lacks. */
function withScheme(kind: Kind<string>): Kind<string> {
  return {
    ...kind,
    read: (value) => {
      try {
        return kind.read(value);
      } catch (error) {
        if (!(error instanceof Unfit) || !/^[A-Za-z0-9._-]+(:\d+)?(\/\S*)?$/.test(value))
          throw error;
        throw new Unfit(`${error.message}: write http://${value}`);
      }
    },
  };
}

/** Of an OTLP receiver: a URL, or for gRPC also HOST:PORT. */
export const endpoint: Kind<string> = text(
  'a URL such as http://collector:4318, or HOST:PORT for grpc',
  (value) =>
    value === '' ||
    isWebAddress(value) ||
    /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/.test(value),
);

/** @returns a URL without name and password; other texts as they are */
export function withoutCredentials(text: string): string {
  return text.replace(/^(https?:\/\/)[^/?#]*@/i, `$1${REDACTED}@`);
}
