/**
 * Addresses that tell where memory lies: those of the kernel defeat its randomised base, which
 * kptr_restrict hides even from most processes, and those of anonymous memory that of a process.
 * Names are found on the host, so nobody behind the agent needs them: they leave it only for
 * whom the configuration says so, and are 0, "not known", for all others. Addresses in files are
 * the file's own and tell nothing.
 */
import type { FrameType, Mapping, Profile } from './model.ts';
import { ROW_WORDS, sampleColumns, stackLists } from './sample-rows.ts';
import { WordTable } from './word-table.ts';

/** Of generated code and all else that no file holds. */
const ANONYMOUS = '[anon]';

/** @param mapping undefined = outside of any that is known */
export function tellsLayout(type: FrameType, mapping: Pick<Mapping, 'file'> | undefined): boolean {
  if (type === 'marker') return false;
  const file = mapping?.file ?? '';
  return type === 'kernel' || file === '' || file === ANONYMOUS;
}

/** The profile for those who may not know addresses; places, stacks and samples that become equal are one. */
export function withoutAddresses(profile: Profile): Profile {
  const { mappings, locations, stacks, samples } = profile;
  const isTold = locations.map(
    ({ type, mapping, address }) => address !== 0 && tellsLayout(type, mappings[mapping]),
  );
  if (!isTold.includes(true)) return profile;
  const kept: (typeof locations)[number][] = [];
  const known = new Map<string, number>();
  const places = locations.map((location, index) => {
    if (!isTold[index]) return kept.push(location) - 1;
    const hidden = { ...location, address: 0 };
    const key = JSON.stringify(hidden);
    const place = known.get(key) ?? kept.push(hidden) - 1;
    known.set(key, place);
    return place;
  });
  const uniqueStacks = new WordTable();
  const stackIds = stacks.map((stack) => {
    const moved = stack.map((location) => places[location]!);
    return uniqueStacks.intern(moved, 0, moved.length, 0);
  });
  const rows = new WordTable();
  const counts: number[] = [];
  const key = new Uint32Array(ROW_WORDS);
  for (let row = 0; row < samples.length; row++) {
    key[0] = samples.process[row]!;
    key[1] = samples.thread[row]!;
    key[2] = stackIds[samples.stack[row]!]!;
    key[3] = samples.labels[row]!;
    const id = rows.intern(key, 0, ROW_WORDS, 0);
    counts[id] = (counts[id] ?? 0) + samples.count[row]!;
  }
  return {
    ...profile,
    locations: kept,
    stacks: stackLists(uniqueStacks),
    samples: sampleColumns(rows, counts),
  };
}
