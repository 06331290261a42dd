/** The page while an agent runs: new data, pause, and what to say when there is none. */
import type { App } from './app.ts';
import { byId, remember, remembered, setText } from './dom.ts';
import { Poller } from './poller.ts';
import type { AgentFacts } from './tally.ts';
import { formatCount, formatDuration } from './text.ts';
import { readTree, TreeError } from './tree.ts';

export function goLive(app: App): void {
  const dot = byId('live-dot', HTMLElement);
  const pause = byId('pause', HTMLButtonElement);
  const banner = byId('banner', HTMLElement);
  const choice = byId('window', HTMLSelectElement);
  byId('live-group', HTMLElement).hidden = false;
  const chosen = remembered('window');
  if (chosen !== null && [...choice.options].some((option) => option.value === chosen)) {
    choice.value = chosen;
  }
  app.showNothing('Connecting to the agent', '');
  let paused = false;
  let lost = false;
  const showDot = () => {
    dot.className = lost ? 'dot lost' : paused ? 'dot paused' : 'dot';
    dot.title = lost ? 'The agent does not answer' : paused ? 'Paused' : 'Live';
  };

  const poller = new Poller(Number(choice.value), {
    tree: (value) => {
      try {
        app.showTree(readTree(value));
      } catch (error) {
        if (!(error instanceof TreeError)) throw error;
        app.showNothing('The agent sent a profile that cannot be drawn', error.message);
        return;
      }
      if (!app.hasSamples) {
        app.showNothing(
          'Collecting the first samples',
          'They appear here within seconds of the first work on a CPU.',
        );
      }
    },
    status: (value) => app.showAgent(agentFacts(value)),
    lost: (reason, since) => {
      lost = true;
      showDot();
      const time = new Date(since).toLocaleTimeString();
      setText(banner, `${reason} Trying again since ${time}; the last data stays.`);
      if (app.hasSamples) banner.hidden = false;
      else app.showNothing('The agent does not answer', `${reason} Trying again since ${time}.`);
    },
    found: () => {
      lost = false;
      banner.hidden = true;
      showDot();
      if (!app.hasSamples) {
        app.showNothing(
          'Collecting the first samples',
          'They appear here within seconds of the first work on a CPU.',
        );
      }
    },
  });
  choice.addEventListener('change', () => {
    remember('window', choice.value);
    poller.setSeconds(Number(choice.value));
  });
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    setText(pause, paused ? 'Resume' : 'Pause');
    poller.setPaused(paused);
    showDot();
  });
  showDot();
  poller.start();
}

/** The numbers of /api/status that are there, in words. */
function agentFacts(value: unknown): AgentFacts {
  const facts: Record<string, string> = {};
  if (typeof value !== 'object' || value === null) return facts;
  const { agent } = value as { agent?: unknown };
  const status = { ...value, ...(typeof agent === 'object' ? agent : {}) } as Record<
    string,
    unknown
  >;
  const add = (key: string, label: string, format: (value: number) => string) => {
    const number = status[key];
    if (typeof number === 'number' && Number.isFinite(number)) facts[label] = format(number);
  };
  const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  add('hz', 'sampling rate', (hz) => `${hz.toFixed(hz < 10 ? 1 : 0)} Hz`);
  add('uptimeSeconds', 'running for', (seconds) => formatDuration(seconds * 1e9));
  add('processes', 'processes known', formatCount);
  add('userCpuPercent', 'CPU of the agent, of one core', (percent) => `${percent.toFixed(2)} %`);
  add(
    'kernelCpuPercent',
    'CPU of its kernel side, of one core',
    (percent) => `${percent.toFixed(2)} %`,
  );
  add('kernelNsPerSample', 'kernel side per sample', formatDuration);
  add('rssBytes', 'memory', megabytes);
  add('mapBytes', 'memory of BPF maps', megabytes);
  add('storeBytes', 'memory of kept profiles', megabytes);
  return facts;
}
