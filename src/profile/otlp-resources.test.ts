/** Processes as resources: their attributes, instances and names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile, plainSample } from './fixture.test-support.ts';
import { encodeOtlp } from './otlp.ts';
import { decode, profilesOf } from './otlp-decoded.test-support.ts';
import { decodeRequest, requestType } from './otlp-messages.test-support.ts';
import { violations } from './otlp-validator.test-support.ts';

const type = requestType();

// A process may see itself differently: our own attributes are what we saw.
test('what a process states of itself are attributes of its resource; ours stay ours', () => {
  const profile = buildProfile([plainSample, { ...plainSample, pid: 43 }]);
  const resource = [
    { key: 'service.name', value: 'shop' },
    { key: 'service.version', value: '7' },
    { key: 'process.pid', value: '1' },
  ];
  const processes = [{ ...profile.processes[0]!, resource }, profile.processes[1]!];
  const resources = (attributes: Readonly<Record<string, string>>) => {
    const bytes = encodeOtlp({ ...profile, processes }, { attributes });
    assert.deepEqual(violations(bytes), []);
    return decodeRequest(type, bytes).resource_profiles.map((one) =>
      Object.fromEntries(
        one.resource!.attributes.map(({ key, value }) => [
          key,
          value!.string_value ?? value!.int_value,
        ]),
      ),
    );
  };
  const own = { 'process.pid': 42n, 'process.executable.name': 'app', 'host.name': 'web-1' };
  assert.deepEqual(resources({}), [
    { 'service.name': 'shop', 'service.version': '7', ...own },
    { 'service.name': 'app', ...own, 'process.pid': 43n },
  ]);
  // What the operator says is of every process.
  assert.deepEqual(
    resources({ 'service.name': 'x' }).map((one) => one['service.name']),
    ['x', 'x'],
  );
});

test('two instances of one pid stay apart', () => {
  const request = decode(buildProfile([plainSample, { ...plainSample, startLow: 2000 }]));
  assert.equal(request.resource_profiles.length, 2);
});

// Its exec leaves all attributes of a process that runs itself anew; Pyroscope keeps one profile of a series and time.
test('two instances of one pid do not start at the same time', () => {
  const samples = [1, 2, 3].flatMap((execId) =>
    [7, 8].map((address) => ({ ...plainSample, execId, user: [address] })),
  );
  const profile = buildProfile([...samples, { ...plainSample, pid: 43 }]);
  const starts = profilesOf(decode(profile)).map(({ time_unix_nano }) => time_unix_nano);
  assert.deepEqual(
    starts.map((start) => start - profile.startTime),
    [0n, 2n, 4n, 0n],
  );
});

test('an executable gives its name to the service, and long paths are cut between characters', () => {
  const built = buildProfile([plainSample]);
  const executable = `/opt/${'ü'.repeat(2000)}/server`;
  const processes = built.processes.map((process) => ({ ...process, executable }));
  const { resource } = decode({ ...built, processes }).resource_profiles[0]!;
  const value = (wanted: string): string =>
    resource!.attributes.find(({ key }) => key === wanted)!.value!.string_value!;
  assert.equal(value('service.name'), 'server');
  assert.equal(value('process.executable.path'), `/opt/${'ü'.repeat(1021)}`);
});
