/** A resolver's thread that does with a batch what the first byte of its side band says. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { FromResolver, ResolverStats, ToResolver } from './messages.ts';

/** What a batch can ask for. */
export const STUB = { answer: 0, keep: 1, crash: 2, exhaust: 3, exit: 4, hang: 5 } as const;
/** An address that it crashes at. */
export const CRASHING = 0xdead;

const kept: unknown[] = [];
let batches = 0;

const stats = (): ResolverStats => ({
  processes: 1,
  binaries: 1,
  tableBytes: 8,
  problems: { stub: batches },
  sidebandLost: 0,
});

function serve(port: MessagePort): void {
  const send = (message: FromResolver) => port.postMessage(message);
  port.on('message', (message: ToResolver) => {
    switch (message.type) {
      case 'batch':
        batches++;
        switch (message.sideband[0]) {
          case STUB.keep:
            return;
          case STUB.crash:
            throw new Error('the stub crashes');
          case STUB.exhaust:
            for (;;) kept.push(new Array(1 << 16).fill({}));
          case STUB.exit:
            process.exit(3);
            break;
          case STUB.hang:
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        }
        send({
          type: 'done',
          records: undefined,
          samples: message.records.length > 0 ? 1 : 0,
          cpuMs: 0,
        });
        return;
      case 'ping':
        send({ type: 'pong' });
        return;
      case 'sync':
        send({ type: 'synced', id: message.id, stats: stats() });
        return;
      case 'resolve':
        if (message.queries.low.includes(CRASHING)) throw new Error('the stub crashes at a name');
        send({
          type: 'resolution',
          id: message.id,
          locations: Uint32Array.from({ length: message.queries.length }, (_, i) => i + 1),
          firstNew: 1,
          forgotten: new Uint32Array(),
          fresh: Array.from({ length: message.queries.length }, () => ({
            mapping: undefined,
            address: batches,
            type: 'native',
            lines: [],
          })),
          processes: message.instances.map(() => ({ name: 'stub', executable: '' })),
        });
        return;
      case 'stop':
        send({ type: 'stopped' });
        port.close();
    }
  });
  send({ type: 'ready', task: 1 });
}

// Tests import it for its names.
parentPort?.once('message', () => parentPort && serve(parentPort));
