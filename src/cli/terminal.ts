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

export const onStopSignal: Surroundings['onStopSignal'] = (listener) => {
  for (const signal of STOP_SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, listener);
  };
};
