/** Options that `record` and `agent` share. */
import { defaulted, flag } from './options.ts';
import { wholeNumber } from './quantity.ts';

/** The kernel's default perf_event_max_sample_rate is 100,000; beyond 10,000 sampling is mostly itself. */
const MOST_HZ = 10_000;
/** Limit of the unwinder (bpf/record.h). */
export const MAX_DEPTH = 1024;

export const samplingOptions = {
  hz: defaulted('N', wholeNumber(1, MOST_HZ), '99', `samples per second and CPU, 1 to ${MOST_HZ}`),
  threads: flag('tell threads apart by name'),
  'no-kernel': flag('no kernel frames'),
};
