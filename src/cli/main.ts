/** Entry point of the command `flametap`. */
import { dirname } from 'node:path';
import { startProfiler } from '../agent/profiler.ts';
import { agentCommand } from './agent.ts';
import { configCommand } from './config.ts';
import { dispatch } from './dispatch.ts';
import { doctorCommand } from './doctor.ts';
import { findRoot } from './installation.ts';
import { recordCommand } from './record.ts';
import { onStopSignal, onUncaught, terminal } from './terminal.ts';
import { viewCommand } from './view.ts';

// A bundle in CommonJS has no await at its top.
void dispatch(
  [agentCommand, recordCommand, viewCommand, configCommand, doctorCommand],
  process.argv.slice(2),
  findRoot(dirname(import.meta.filename)),
  {
    stdout: terminal(process.stdout),
    stderr: terminal(process.stderr),
    startProfiler,
    onStopSignal,
    onUncaught,
  },
).then((code) => {
  // What a command gave up on (a worker, a socket) must not keep the process.
  process.exit(code);
});
