/** What `record --go-pgo` writes, and what it says about it. */
import { processText } from '../profile/frame.ts';
import { encodeGoPgo, type GoPgoProfile } from '../profile/go-pgo.ts';
import type { Profile } from '../profile/model.ts';
import { CommandError } from './errors.ts';
import { formatCount } from './quantity.ts';

/** `go build` takes it without being told when it lies beside the main package. */
export const GO_PGO_FILE = 'default.pgo';

/**
 * With fewer, chance decides which calls are hot: a call site of 0.5 % of the
 * time then has five samples, and twice or half as many are as likely.
 */
const FEW_SAMPLES = 1000;
const MOST_NAMED = 5;

/** Lines for the user: which programs are in the profile, and whether it is large enough. */
function remarks({ programs, samples }: GoPgoProfile): string[] {
  const texts = programs.map(
    ({ file, processes, samples: own }) =>
      `${file} (${formatCount(own)} samples of ${formatCount(processes)} ${processes === 1 ? 'process' : 'processes'})`,
  );
  const rest = texts.length - MOST_NAMED;
  const list = [
    ...texts.slice(0, MOST_NAMED),
    ...(rest > 0 ? [`${formatCount(rest)} more`] : []),
  ].join(', ');
  return [
    programs.length === 1
      ? `Go profile of ${list}`
      : `Go profile merged of ${formatCount(programs.length)} programs: ${list}; main.main of one is main.main of all: choose one with --pid unless they are builds of one program`,
    ...(samples < FEW_SAMPLES
      ? [
          `${formatCount(samples)} samples are few: chance decides which calls are hot; record for longer, or with a higher --hz`,
        ]
      : []),
  ];
}

/** @throws CommandError when there is no Go code in the profile */
export function goPgoFile(profile: Profile): { bytes: Uint8Array; remarks: readonly string[] } {
  const encoded = encodeGoPgo(profile);
  if (encoded.samples === 0) throw new CommandError(`--go-pgo: ${whyEmpty(profile)}`);
  return { bytes: encoded.bytes, remarks: remarks(encoded) };
}

function whyEmpty({ tally, processes }: Profile): string {
  if (tally.exported === 0) {
    return 'nothing in scope used the CPU: record while the program is at work, or for longer';
  }
  const names = [...new Set(processes.map(processText))];
  const list = names.slice(0, MOST_NAMED).join(', ') + (names.length > MOST_NAMED ? ', …' : '');
  return `no Go code in ${formatCount(tally.exported)} samples (of ${list}): choose a Go program with --pid, --comm, --cgroup or -- CMD, and record while it is at work`;
}
