/** The process's own streams and signals, as commands see them. */
import type { Surroundings, Terminal } from './command.ts';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function terminal(stream: NodeJS.WriteStream): Terminal {
  // Without a listener a reader that has gone away would end the process with a stack trace.
  stream.on('error', () => undefined);
  return {
    isTTY: stream.isTTY === true,
    write: (data) =>
      new Promise((resolve, reject) => {
        stream.write(data, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

/**
 * One Ctrl-C may come twice: from the terminal, and passed on by npm or another
 * parent. A second one that people mean comes later than this.
 */
const SAME_SIGNAL_MS = 250;

export const onStopSignal: Surroundings['onStopSignal'] = (listener) => {
  // SIGHUP may mean something else: it does not hide the others.
  const last = { other: Number.NEGATIVE_INFINITY, hangUp: Number.NEGATIVE_INFINITY };
  const onSignal = (signal: NodeJS.Signals) => {
    const now = performance.now();
    const which = signal === 'SIGHUP' ? 'hangUp' : 'other';
    if (now - last[which] >= SAME_SIGNAL_MS) listener(signal);
    last[which] = now;
  };
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
  };
};

export const onUncaught: Surroundings['onUncaught'] = (listener) => {
  // A rejection that nobody handles becomes one of these.
  process.on('uncaughtException', listener);
  return () => void process.off('uncaughtException', listener);
};
