/** An agent to be killed: accepts numbered requests, says which it accepted and which arrived. Arguments: folder, first number, whether the backend answers, or `drain`. */
import { writeSync } from 'node:fs';
import { Backend, DELIVERED, DOWN, openExporter, profileOf } from './backend.test-support.ts';

const [directory, first, answers] = process.argv.slice(2);
const backend = new Backend();
backend.answer = (request) => {
  if (answers === 'false') return DOWN;
  writeSync(1, `arrived ${Number(request.slice(0, 9))}\n`);
  return DELIVERED;
};
const exporter = openExporter(
  backend,
  { warn: (cause, message) => cause.startsWith('queue') && writeSync(1, `${cause} ${message}\n`) },
  { queue: { directory: directory!, maxBytes: 1 << 30, maxAgeMs: 0 } },
);
if (answers === 'drain') {
  await exporter.close(20_000);
} else {
  for (let number = Number(first); ; number++) {
    // Small ones and large ones: of these a kill may leave a part.
    const size = number % 5 === 0 ? 200_000 : 1_000;
    exporter.accept(profileOf(String(number).padStart(9, '0').padEnd(size, '.')));
    writeSync(1, `accepted ${number}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
