/** The page while an agent runs: new data, pause, and what to say when there is none. */
import type { App } from './app.ts';
import { byId, remember, remembered, setText } from './dom.ts';
import { faultText } from './faults.ts';
import { Poller, type Question } from './poller.ts';
import { type RequestView, readRequest, readTraces } from './request-data.ts';
import { RequestBar, RequestPanel } from './request-panel.ts';
import {
  addressOf,
  detailsAddress,
  flameAddress,
  isRequest,
  NOTHING,
  pprofAddress,
  type Selection,
  selectionOf,
} from './selection.ts';
import type { AgentFacts } from './tally.ts';
import { formatCount, formatDuration } from './text.ts';
import { readTree, TreeError } from './tree.ts';

export function goLive(app: App): void {
  new LivePage(app).start();
}

const FIRST_SAMPLES = [
  'Collecting the first samples',
  'They appear here within seconds of the first work on a CPU.',
] as const;

class LivePage {
  readonly #app: App;
  readonly #dot = byId('live-dot', HTMLElement);
  readonly #pause = byId('pause', HTMLButtonElement);
  readonly #banner = byId('banner', HTMLElement);
  /** What keeps the agent from sending profiles on. */
  readonly #fault = byId('fault', HTMLElement);
  readonly #window = byId('window', HTMLSelectElement);
  readonly #panel: RequestPanel;
  readonly #bar: RequestBar;
  readonly #poller: Poller;
  #selection: Selection = NOTHING;
  /** Why the request has no samples, as the agent says. */
  #missing = '';
  #isPaused = false;
  #isLost = false;
  #isSaved = false;

  constructor(app: App) {
    this.#app = app;
    byId('live-group', HTMLElement).hidden = false;
    const chosen = remembered('window');
    if ([...this.#window.options].some((option) => option.value === chosen)) {
      this.#window.value = chosen!;
    }
    this.#panel = new RequestPanel((selection) => this.#go(selection));
    this.#bar = new RequestBar(() => this.#go(NOTHING));
    app.listenTo({
      request: ({ traceId, spanId }) => this.#go({ traceId, spanId, service: '' }),
      tab: () => this.#ask(),
    });
    this.#poller = new Poller(this.#question(), {
      tree: (value) => this.#showTree(value),
      details: (value) => this.#showDetails(value),
      missing: (reason) => this.#showMissing(reason),
      status: (value) => this.#showStatus(value),
      lost: (reason, since) => this.#showLost(reason, since),
      found: () => {
        this.#isLost = false;
        this.#banner.hidden = true;
        this.#showDot();
        this.#showNothingYet();
      },
    });
  }

  start(): void {
    this.#app.showNothing('Connecting to the agent', '');
    this.#window.addEventListener('change', () => {
      remember('window', this.#window.value);
      this.#ask();
    });
    this.#pause.addEventListener('click', () => {
      this.#isPaused = !this.#isPaused;
      this.#pause.setAttribute('aria-pressed', String(this.#isPaused));
      setText(this.#pause, this.#isPaused ? 'Resume' : 'Pause');
      this.#poller.setPaused(this.#isPaused);
      this.#showDot();
    });
    window.addEventListener('popstate', () => this.#followAddress());
    this.#showDot();
    this.#followAddress();
    this.#poller.start();
  }

  #question(): Question {
    const seconds = Number(this.#window.value);
    const isSeen = isRequest(this.#selection) || this.#app.tab === 'traces';
    return {
      flame: flameAddress(this.#selection, seconds),
      details: isSeen ? detailsAddress(this.#selection, seconds) : '',
    };
  }

  #ask(): void {
    this.#poller.ask(this.#question());
  }

  #followAddress(): void {
    const selection = selectionOf(location.search);
    this.#show(selection ?? NOTHING);
    if (!selection) {
      this.#app.showNotice(
        'The address has an id that is none: a trace has 32 hex digits, a span 16.',
      );
    }
  }

  #go(selection: Selection): void {
    // Back leads to what was shown before.
    history.pushState(null, '', addressOf(selection));
    this.#show(selection);
  }

  #show(selection: Selection): void {
    this.#selection = selection;
    this.#missing = '';
    const { traceId, spanId } = selection;
    const isOne = isRequest(selection);
    this.#app.startAnew();
    this.#app.showNotice('');
    // A request is looked for in all that is kept.
    this.#window.hidden = isOne;
    if (isOne) {
      document.title = `${traceId === '' ? `Span ${spanId}` : `Trace ${traceId.slice(0, 8)}`} – Flametap`;
      this.#showBar(undefined);
      this.#panel.showNothing('Looking for the request', '');
      if (this.#app.isWide) this.#app.showTab('traces');
    } else {
      document.title = 'Flametap';
      this.#bar.hide();
      this.#panel.showNothing('Looking for traces', '');
    }
    this.#ask();
  }

  #showBar(request: RequestView | undefined): void {
    this.#bar.show(this.#selection, request, pprofAddress(this.#selection));
  }

  #showTree(value: unknown): void {
    try {
      this.#app.showTree(readTree(value));
    } catch (error) {
      if (!(error instanceof TreeError)) throw error;
      this.#app.showNothing('The agent sent a profile that cannot be drawn', error.message);
      return;
    }
    this.#showNothingYet();
  }

  #showNothingYet(): void {
    if (this.#app.hasSamples) return;
    if (isRequest(this.#selection)) {
      this.#app.showNothing(
        'No samples of this request',
        this.#missing || 'Other parts of its trace have some: the traces beside list them.',
      );
    } else this.#app.showNothing(...FIRST_SAMPLES);
  }

  #showDetails(value: unknown): void {
    if (!isRequest(this.#selection)) {
      this.#panel.showTraces(readTraces(value));
      return;
    }
    const request = readRequest(value);
    this.#panel.showRequest(this.#selection, request);
    this.#showBar(request);
  }

  #showMissing(reason: string): void {
    this.#missing = reason;
    this.#panel.showNothing(
      'No spans to show',
      'All samples leads to the list of the traces that have some.',
    );
    this.#showNothingYet();
  }

  #showStatus(value: unknown): void {
    this.#app.showAgent(agentFacts(value));
    const fault = faultText(value);
    setText(this.#fault, fault);
    this.#fault.hidden = fault === '';
    if (this.#isSaved || (value as { saved?: unknown }).saved !== true) return;
    // Profiles of files: nothing goes on, and all of it is wanted.
    this.#isSaved = true;
    this.#pause.hidden = true;
    this.#dot.hidden = true;
    this.#window.value = '0';
    this.#ask();
  }

  #showLost(reason: string, since: number): void {
    this.#isLost = true;
    this.#showDot();
    const time = new Date(since).toLocaleTimeString();
    setText(this.#banner, `${reason} Trying again since ${time}; the last data stays.`);
    if (this.#app.hasSamples) this.#banner.hidden = false;
    else
      this.#app.showNothing('The agent does not answer', `${reason} Trying again since ${time}.`);
  }

  #showDot(): void {
    this.#dot.className = this.#isLost ? 'dot lost' : this.#isPaused ? 'dot paused' : 'dot';
    this.#dot.title = this.#isLost
      ? 'The agent does not answer'
      : this.#isPaused
        ? 'Paused'
        : 'Live';
  }
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
