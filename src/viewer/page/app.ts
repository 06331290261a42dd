/** Holds what the reader chose and keeps every part of the page in step with it. */
import { pastedRequest, type RequestId } from '../../profile/request-id.ts';
import { showCrumbs } from './crumbs.ts';
import { announce } from './describe.ts';
import { Details } from './details.ts';
import { byId, remember, remembered, setText } from './dom.ts';
import { FunctionsTable } from './functions-table.ts';
import { Graph } from './graph.ts';
import { showLegend } from './legend.ts';
import type { Theme } from './palette.ts';
import { ProcessMenu } from './process-menu.ts';
import { compileQuery, findMatches, type Matches } from './search.ts';
import { type AgentFacts, showStatusLine, showTally } from './tally.ts';
import { formatCount, formatDuration, formatPercent, printable } from './text.ts';
import { Tooltip } from './tooltip.ts';
import type { Tree } from './tree.ts';
import {
  buildView,
  defaultOptions,
  findPath,
  pathOf,
  processesOf,
  type View,
  type ViewOptions,
} from './view.ts';

type Path = readonly string[];

const TABS = ['graph', 'functions', 'traces'] as const;
export type Tab = (typeof TABS)[number];

/** What only a page can do that has an agent to ask. */
export interface LiveEvents {
  /** Somebody gave the id of a trace or a span. */
  request(id: RequestId): void;
  tab(tab: Tab): void;
}

export class App {
  readonly #graph: Graph;
  readonly #table: FunctionsTable;
  readonly #menu: ProcessMenu;
  readonly #tooltip = new Tooltip(byId('tooltip', HTMLElement));
  readonly #details: Details;
  readonly #host = byId('graph', HTMLElement);
  readonly #search = byId('search', HTMLInputElement);
  readonly #announcer = byId('announcer', HTMLElement);
  #theme: Theme;
  #tree: Tree | null = null;
  #view: View | null = null;
  #options: ViewOptions;
  #matches: Matches | null = null;
  #matchAt = -1;
  #agent: AgentFacts | null = null;
  // What the reader chose, by name: it outlives the data it was chosen in.
  #zoomPath: Path = [];
  #selectedPath: Path | null = null;
  readonly #history: Path[] = [];
  #zoomed = 0;
  #selected = -1;
  #rootBelow = remembered('root-below') === 'yes';
  #announceTimer = 0;
  #live: LiveEvents | null = null;
  #tab: Tab = 'graph';
  /** The functions are beside the graph. */
  readonly #wide = matchMedia('(min-width: 1100px)');

  constructor(live: boolean) {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const chosen = remembered('theme');
    this.#theme =
      chosen === 'dark' || chosen === 'light' ? chosen : dark.matches ? 'dark' : 'light';
    // By size, near equals would swap places at every update.
    this.#options = { ...defaultOptions, order: live ? 'name' : 'size' };
    this.#graph = new Graph(
      this.#host,
      byId('spacer', HTMLElement),
      byId('canvas', HTMLCanvasElement),
      this.#theme,
      {
        select: (node) => this.#select(node),
        zoom: (node) => this.#zoom(node),
        back: () => this.#back(),
        reset: () => this.#zoom(0),
        hover: (node, x, y) => this.#hover(node, x, y),
      },
    );
    this.#graph.setRootBelow(this.#rootBelow);
    this.#table = new FunctionsTable((frame) => this.#find(frame));
    this.#menu = new ProcessMenu((processes) => this.#setOptions({ processes }));
    this.#details = new Details(byId('details', HTMLElement), {
      zoom: (node) => this.#zoom(node),
      find: (frame) => this.#find(frame),
    });
    dark.addEventListener('change', () => {
      if (remembered('theme') === null) this.#setTheme(dark.matches ? 'dark' : 'light');
    });
    this.#setTheme(this.#theme);
    this.#listen();
    this.#showTab('graph');
  }

  listenTo(live: LiveEvents): void {
    this.#live = live;
    document.documentElement.dataset.live = '';
    byId('tab-traces', HTMLElement).hidden = false;
    this.#search.placeholder = 'Functions, /regex/, trace id';
  }

  /** Another request is shown: what was zoomed into is somewhere else there. */
  startAnew(): void {
    this.#zoomPath = [];
    this.#selectedPath = null;
    this.#history.length = 0;
    this.#zoomed = 0;
    this.#graph.zoomTo(0, false);
  }

  get tab(): Tab {
    return this.#tab;
  }

  showTree(tree: Tree): void {
    this.#tree = tree;
    this.#menu.show(processesOf(tree));
    const parts = [tree.title, tree.host].filter((part) => part !== '').map(printable);
    if (tree.startTimeMs > 0) parts.push(new Date(tree.startTimeMs).toLocaleString());
    if (tree.durationNs > 0) parts.push(formatDuration(tree.durationNs));
    setText(byId('title', HTMLElement), parts.join(' · '));
    this.#rebuild();
  }

  showAgent(facts: AgentFacts): void {
    this.#agent = facts;
    if (this.#tree) showTally(byId('tally', HTMLElement), this.#tree, facts);
  }

  #rebuild(): void {
    if (!this.#tree) return;
    const view = buildView(this.#tree, this.#options);
    this.#view = view;
    this.#zoomed = findPath(view, this.#zoomPath).node;
    const selected = this.#selectedPath ? findPath(view, this.#selectedPath) : null;
    this.#selected = selected?.whole ? selected.node : -1;
    this.#graph.setView(view, this.#zoomed, this.#selected);
    this.#runSearch();
    this.#tooltip.hide();
    const status = byId('status', HTMLElement);
    showStatusLine(status, this.#tree, view.total[0]!);
    showTally(byId('tally', HTMLElement), this.#tree, this.#agent);
    showLegend(byId('legend', HTMLElement), view, this.#theme);
    this.#showZoom();
    this.#showSelected();
    this.#showEmpty(view);
  }

  #showEmpty(view: View): void {
    const empty = byId('empty', HTMLElement);
    const nothing = view.total[0] === 0;
    empty.hidden = !nothing;
    if (!nothing) return;
    const filtered = this.#tree!.total[0]! > 0;
    setText(
      byId('empty-title', HTMLElement),
      filtered ? 'No process chosen' : 'No samples in this profile',
    );
    setText(
      byId('empty-text', HTMLElement),
      filtered
        ? 'Choose at least one process above.'
        : 'Nothing ran on a CPU during the time that was sampled.',
    );
  }

  /** Words in place of the graph while there is no data. */
  showNothing(title: string, text: string): void {
    setText(byId('empty-title', HTMLElement), title);
    setText(byId('empty-text', HTMLElement), text);
    byId('empty', HTMLElement).hidden = false;
  }

  get isWide(): boolean {
    return this.#wide.matches;
  }

  /** A line over the graph; '' takes it away. */
  showNotice(text: string): void {
    const banner = byId('banner', HTMLElement);
    setText(banner, text);
    banner.hidden = text === '';
  }

  get hasSamples(): boolean {
    return (this.#tree?.total[0] ?? 0) > 0;
  }

  get #periodNs(): number {
    return this.#tree?.periodNs ?? 0;
  }

  #select(node: number): void {
    const view = this.#view;
    if (!view) return;
    this.#selected = node;
    this.#selectedPath = pathOf(view, node);
    this.#graph.select(node);
    this.#showSelected();
    clearTimeout(this.#announceTimer);
    this.#announceTimer = window.setTimeout(() => {
      if (this.#view === view) {
        setText(this.#announcer, announce(view, node, this.#periodNs));
      }
    }, 120);
  }

  #zoom(node: number): void {
    const view = this.#view;
    if (!view) return;
    if (node !== this.#zoomed) {
      this.#history.push(this.#zoomPath);
      if (this.#history.length > 100) this.#history.shift();
    }
    this.#zoomTo(node);
  }

  #zoomTo(node: number): void {
    const view = this.#view!;
    this.#zoomed = node;
    this.#zoomPath = pathOf(view, node);
    if (node === 0) this.#history.length = 0;
    this.#graph.zoomTo(node);
    this.#tooltip.hide();
    this.#showZoom();
    this.#showSelected();
  }

  #back(): void {
    const view = this.#view;
    if (!view) return;
    const path = this.#history.pop();
    if (path || this.#zoomed !== 0) {
      this.#zoomTo(path ? findPath(view, path).node : 0);
      return;
    }
    // Also undoes panning and pinching, which are no steps of their own.
    this.#zoomTo(0);
    this.#selected = -1;
    this.#selectedPath = null;
    this.#graph.select(-1);
    this.#showSelected();
  }

  #showZoom(): void {
    const view = this.#view!;
    showCrumbs(byId('crumbs', HTMLElement), view, this.#zoomed, (node) => this.#zoom(node));
    byId('reset', HTMLElement).hidden = this.#zoomed === 0;
  }

  #showSelected(): void {
    const view = this.#view!;
    if (this.#selected < 0) {
      this.#details.hide();
      this.#table.setCurrent(-1);
      return;
    }
    this.#details.show(view, this.#selected, this.#zoomed, this.#periodNs, this.#theme);
    this.#table.setCurrent(view.frame[this.#selected]!);
  }

  #hover(node: number, x: number, y: number): void {
    if (node < 0 || !this.#view) this.#tooltip.hide();
    else this.#tooltip.show(this.#view, node, this.#zoomed, this.#periodNs, this.#theme, x, y);
  }

  /** Highlights a function everywhere and goes to its largest place. */
  #find(frame: number): void {
    const view = this.#view!;
    this.#search.value = `"${printable(view.frames[frame]!.name)}"`;
    this.#runSearch();
    this.#showTab('graph');
    this.#nextMatch(1);
  }

  /** @returns whether the search field holds an id, which is now looked up */
  #lookUp(): boolean {
    const id = pastedRequest(this.#search.value);
    if (!id || !this.#live) return false;
    this.#search.value = '';
    this.#runSearch();
    this.#live.request(id);
    return true;
  }

  #runSearch(): void {
    const view = this.#view;
    const result = byId('search-result', HTMLElement);
    const id = pastedRequest(this.#search.value);
    const query = id ? null : compileQuery(this.#search.value);
    result.classList.toggle('error', query !== null && query.error !== '');
    if (id) {
      this.#matches = null;
      setText(result, this.#live ? 'Enter shows it' : 'no ids in this file');
      result.title = 'The id of a trace or a span';
    } else if (!view || !query || query.error !== '') {
      this.#matches = null;
      setText(result, query && query.error !== '' ? 'not a valid regex' : '');
      result.title = query?.error ?? '';
    } else {
      this.#matches = findMatches(view, query.matches);
      result.title = `${formatCount(this.#matches.count)} frames match`;
      setText(result, formatPercent(this.#matches.total, view.total[0]!));
    }
    this.#graph.setMatches(this.#matches?.frames ?? null);
    if (view) this.#table.show(view, this.#matches?.frames ?? null, this.#periodNs);
  }

  #nextMatch(step: number): void {
    const nodes = this.#matches?.nodes ?? [];
    if (nodes.length === 0) return;
    this.#matchAt = (this.#matchAt + step + nodes.length) % nodes.length;
    const node = nodes[this.#matchAt]!;
    const view = this.#view!;
    // A match outside of what is zoomed into would be selected out of sight.
    if (node < this.#zoomed || node >= view.end[this.#zoomed]!) this.#zoom(0);
    this.#select(node);
  }

  #setOptions(change: Partial<ViewOptions>): void {
    this.#options = { ...this.#options, ...change };
    const press = (id: string, on: boolean) =>
      byId(id, HTMLElement).setAttribute('aria-pressed', String(on));
    press('hide-kernel', this.#options.hideKernel);
    press('merge', this.#options.mergeProcesses);
    press('invert', this.#options.inverted);
    press('by-name', this.#options.order === 'name');
    if ('inverted' in change || 'mergeProcesses' in change) {
      // Paths start elsewhere now: an old one would find a different place.
      this.startAnew();
    }
    this.#rebuild();
  }

  #setRootBelow(rootBelow: boolean): void {
    this.#rootBelow = rootBelow;
    remember('root-below', rootBelow ? 'yes' : 'no');
    byId('flip', HTMLElement).setAttribute('aria-pressed', String(rootBelow));
    this.#graph.setRootBelow(rootBelow);
  }

  #setTheme(theme: Theme): void {
    this.#theme = theme;
    document.documentElement.dataset.theme = theme;
    const other = theme === 'dark' ? 'Light theme' : 'Dark theme';
    byId('theme', HTMLElement).setAttribute('aria-label', other);
    this.#graph.setTheme(theme);
    this.#tooltip.hide();
    if (this.#view) {
      showLegend(byId('legend', HTMLElement), this.#view, theme);
      this.#showSelected();
    }
  }

  #showTab(tab: Tab): void {
    this.#tab = tab;
    byId('main', HTMLElement).dataset.tab = tab;
    const shown = tab === 'graph' && this.#wide.matches ? 'functions' : tab;
    for (const each of TABS) {
      byId(`tab-${each}`, HTMLElement).setAttribute('aria-pressed', String(each === shown));
    }
    this.#live?.tab(tab);
  }

  showTab(tab: Tab): void {
    if (tab !== this.#tab) this.#showTab(tab);
  }

  #listen(): void {
    const click = (id: string, action: () => void) =>
      byId(id, HTMLElement).addEventListener('click', action);
    const toggles = {
      k: () => this.#setOptions({ hideKernel: !this.#options.hideKernel }),
      m: () => this.#setOptions({ mergeProcesses: !this.#options.mergeProcesses }),
      i: () => this.#setOptions({ inverted: !this.#options.inverted }),
      f: () => this.#setRootBelow(!this.#rootBelow),
    };
    click('hide-kernel', toggles.k);
    click('merge', toggles.m);
    click('invert', toggles.i);
    click('flip', toggles.f);
    click('by-name', () =>
      this.#setOptions({ order: this.#options.order === 'name' ? 'size' : 'name' }),
    );
    click('reset', () => {
      this.#zoom(0);
      this.#host.focus();
    });
    click('theme', () => {
      const theme = this.#theme === 'dark' ? 'light' : 'dark';
      remember('theme', theme);
      this.#setTheme(theme);
    });
    click('tab-graph', () => this.#showTab('graph'));
    click('tab-functions', () => this.#showTab(this.#wide.matches ? 'graph' : 'functions'));
    click('tab-traces', () => this.#showTab('traces'));
    this.#wide.addEventListener('change', () => this.#showTab(this.#tab));
    byId('flip', HTMLElement).setAttribute('aria-pressed', String(this.#rootBelow));
    byId('by-name', HTMLElement).setAttribute(
      'aria-pressed',
      String(this.#options.order === 'name'),
    );

    byId('search-form', HTMLFormElement).addEventListener('submit', (event) =>
      event.preventDefault(),
    );
    this.#search.addEventListener('input', (event) => {
      this.#matchAt = -1;
      const { inputType = '' } = event as InputEvent;
      if (inputType.startsWith('insertFrom') && this.#lookUp()) return;
      this.#runSearch();
    });
    this.#search.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') {
        if (!this.#lookUp()) this.#nextMatch(event.shiftKey ? -1 : 1);
        event.preventDefault();
      } else if (event.key === 'Escape') {
        this.#search.value = '';
        this.#matchAt = -1;
        this.#runSearch();
        this.#host.focus();
        event.preventDefault();
      }
    });

    document.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      if (target.closest('input, select, textarea')) return;
      if (event.key === '/') {
        event.preventDefault();
        this.#search.focus();
        this.#search.select();
      } else if (event.key === '?') byId('help', HTMLElement).togglePopover();
      else if (event.key === 'n') this.#nextMatch(1);
      else if (event.key === 'N') this.#nextMatch(-1);
      else if (event.key === 't' && this.#live)
        this.#showTab(this.#tab === 'traces' ? 'graph' : 'traces');
      else if (event.key in toggles) toggles[event.key as keyof typeof toggles]();
      else if (event.key === 'Escape' && target !== this.#host) {
        if (!document.querySelector(':popover-open')) this.#back();
      }
    });
  }
}
