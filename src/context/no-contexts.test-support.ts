/** For tests of what is not about contexts: nobody says anything. */
import { ProcessContexts } from './process-contexts.ts';

export function noContexts(): ProcessContexts {
  const nothing = { found: undefined, readAt: 0 };
  return new ProcessContexts({
    source: {
      publication: () => nothing,
      isCurrent: () => true,
      environment: () => nothing,
    },
    isAnnounced: false,
    isReplay: false,
    clock: () => 0,
    cost: () => 0,
  });
}
