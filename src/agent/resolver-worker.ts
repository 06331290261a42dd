/** Entry of the resolver's thread: wires the resolver to its messages. */
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { loadAddon } from '../capture/addon.ts';
import { LiveHost, type ProcessHost } from '../process/host.ts';
import { cachingDemangler } from '../symbolize/demangle.ts';
import { type KernelSymbol, KernelSymbols } from '../symbolize/kernel-symbols.ts';
import type { KernelAddress } from '../units/units.ts';
import { KernelMapWriter } from '../unwind/map-writer.ts';
import { JitMaps } from './jit-maps.ts';
import type { FromResolver, ResolverSetup, ToResolver } from './messages.ts';
import { Naming } from './naming.ts';
import { Resolver } from './resolver.ts';
import { RecordingHost, ReplayHost } from './snapshot-host.ts';

/** Kernel names are read again when one is missing, but not more often. */
const KERNEL_REREAD_MS = 60_000;

function kernelSymbolReader(): (address: KernelAddress) => KernelSymbol | undefined {
  let symbols: KernelSymbols | undefined;
  let readAt = 0;
  return (address) => {
    const found = symbols?.lookup(address);
    if (found || Date.now() - readAt < KERNEL_REREAD_MS) return found;
    readAt = Date.now();
    symbols = KernelSymbols.parse(readOptional('/proc/kallsyms'), readOptional('/proc/modules'));
    return symbols.lookup(address);
  };
}

/** Nice value: nine times the share of a usual thread. */
const PRIORITY = -10;

/**
 * On a busy machine news of a process waited seconds for this thread: with 8
 * busy processes on 2 CPUs the mean was 1.3 s, with this 0.2 s. It needs little
 * and sleeps between. Only this thread: a recorded command is started by another.
 */
function hurry(): void {
  try {
    setPriority(PRIORITY);
  } catch {
    // Without CAP_SYS_NICE first samples wait their turn.
  }
}

function readOptional(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch {
    return new Uint8Array();
  }
}

function run(port: MessagePort, setup: ResolverSetup): void {
  const send = (message: FromResolver, transfer: ArrayBuffer[] = []) =>
    port.postMessage(message, transfer);
  if (setup.maps) hurry();
  const addon = loadAddon();
  const live = new LiveHost(addon);
  let host: ProcessHost = live;
  if (setup.snapshots) host = new ReplayHost(live, setup.snapshots);
  else if (setup.saveSnapshots) {
    host = new RecordingHost(live, (snapshot) => send({ type: 'snapshot', snapshot }));
  }
  const resolver = new Resolver({
    host,
    demangle: cachingDemangler((name) => addon.demangle(name) ?? ''),
    kernel: setup.maps && { maps: setup.maps, writer: new KernelMapWriter(addon) },
    maxDepth: setup.maxDepth,
  });
  const naming = new Naming(resolver, kernelSymbolReader(), new JitMaps(host));
  port.on('message', (message: ToResolver) => {
    switch (message.type) {
      case 'start':
        break;
      case 'batch': {
        const records = resolver.batch(message.records, message.sideband);
        if (records) send({ type: 'samples', records }, [records.buffer]);
        break;
      }
      case 'resolve': {
        const named = naming.name(message.queries, message.instances);
        resolver.forget();
        send({ type: 'resolution', id: message.id, ...named }, [named.locations.buffer]);
        break;
      }
      case 'sync':
        send({ type: 'synced', id: message.id, stats: resolver.stats() });
        break;
      case 'stop':
        port.close();
    }
  });
  send({ type: 'ready' });
}

parentPort?.once('message', (message: ToResolver) => {
  if (message.type === 'start' && parentPort) run(parentPort, message.setup);
});
