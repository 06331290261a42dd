/** A program that does nothing but fork: nobody is told of most of it, and what computes is named all the same. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { profileChildren, userNames } from '../harness/live-stacks.ts';
import { buildProgram } from '../harness/programs.ts';

// 20,000 records a second of processes that nobody ever sampled kept the resolver from all else.
test('of thousands of forks a second a few are told, and children that compute have whole stacks', async () => {
  const profiler = await profileChildren();
  try {
    const program = spawn(buildProgram('vfork-loop'), ['10'], { stdio: 'inherit' });
    const [code] = await once(program, 'exit');
    assert.equal(code, 0);
    const { forks_untold: untold } = profiler.capture.counters();
    assert.ok(untold > 1000, `${untold} forks are untold`);
    const profile = await profiler.flush();
    assert.equal(profile.tally.eventsLost.forks_untold, untold);
    let [whole, all] = [0, 0];
    for (let row = 0; row < profile.samples.length; row++) {
      const names = userNames(profile, row).join(' < ');
      if (!/\b(inner|child)\b/.test(names)) continue;
      all += profile.samples.count[row]!;
      if (/(^| < )inner < child < main( <|$)/.test(names)) whole += profile.samples.count[row]!;
    }
    assert.ok(all >= 20, `${all} samples of children`);
    assert.ok(whole >= all * 0.9, `${whole} of ${all} samples are whole`);
  } finally {
    await profiler.stop();
  }
});
