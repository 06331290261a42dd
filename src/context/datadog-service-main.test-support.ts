/**
 * A Node service that names itself through libdatadog, as dd-trace does: burns CPU
 * for a minute. Arguments: name of the service.
 */
import { createRequire } from 'node:module';

interface Datadog {
  load(module: 'process-discovery'): {
    readonly TracerMetadata: new (
      runtimeId: string,
      tracerVersion: string,
      host: string,
      service: string,
      environment: string,
      version: string,
      processTags: null,
      containerId: null,
    ) => object;
    storeMetadata(metadata: object): object;
  };
}

const require = createRequire(import.meta.url);
const datadog: Datadog = require('@datadog/libdatadog-extras');
const { TracerMetadata, storeMetadata } = datadog.load('process-discovery');
const [service] = process.argv.slice(2);
const kept = storeMetadata(
  new TracerMetadata('c0ffee', '5.132.0', 'web-1', service!, 'prod', '1.2.3', null, null),
);
console.log('ready', process.pid);
for (const end = Date.now() + 60_000; Date.now() < end && kept; );
