/** The flame graph itself: what is in sight, pointers and keys. */
import { type Gesture, listenToPointers } from './gestures.ts';
import { type Box, boxAt, visibleBoxes } from './layout.ts';
import { alongRow, intoChild, rowEnd } from './navigate.ts';
import { Painter } from './painter.ts';
import type { Theme } from './palette.ts';
import type { View } from './view.ts';

export interface GraphEvents {
  select(node: number): void;
  zoom(node: number): void;
  /** Esc: one step back. */
  back(): void;
  reset(): void;
  /** -1 = nothing; client coordinates. */
  hover(node: number, x: number, y: number): void;
}

const ANIMATION_MS = 180;
/** Screens this wide are looked at from further away. */
const WIDE = 1900;
/** Deepest zoom: a fifth of a sample fills the width. */
const LEAST_SPAN = 0.2;

export class Graph {
  readonly #host: HTMLElement;
  readonly #spacer: HTMLElement;
  readonly #events: GraphEvents;
  readonly #painter: Painter;
  #view: View | null = null;
  #boxes: readonly Box[] = [];
  #matches: Uint8Array | null = null;
  #selected = -1;
  #hovered = -1;
  #zoomed = 0;
  #x0 = 0;
  #x1 = 1;
  #rootBelow = false;
  #planned = 0;
  #animation = 0;
  readonly #stillness = matchMedia('(prefers-reduced-motion: reduce)');
  readonly #coarse = matchMedia('(pointer: coarse)');

  constructor(
    host: HTMLElement,
    spacer: HTMLElement,
    canvas: HTMLCanvasElement,
    theme: Theme,
    events: GraphEvents,
  ) {
    this.#host = host;
    this.#spacer = spacer;
    this.#events = events;
    this.#painter = new Painter(canvas, theme);
    listenToPointers(host, (gesture) => this.#gesture(gesture));
    host.addEventListener('keydown', (event) => this.#key(event));
    host.addEventListener('scroll', () => {
      this.#hover(-1, 0, 0);
      this.#plan();
    });
    host.addEventListener('focus', () => this.#plan());
    host.addEventListener('blur', () => this.#plan());
    const resized = () => {
      canvas.style.width = `${host.clientWidth}px`;
      canvas.style.height = `${host.clientHeight}px`;
      this.#resizeContent();
      this.#plan();
    };
    new ResizeObserver(resized).observe(host);
    matchMedia('(resolution: 1dppx)').addEventListener('change', () => this.#plan());
  }

  /**
   * Shows another view. The part in sight stays the same relative to `zoomed`,
   * so new data does not move what the reader looks at.
   */
  setView(view: View, zoomed: number, selected: number): void {
    const before = this.#view;
    let [from, to] = [0, 1];
    if (before) {
      const start = before.start[this.#zoomed]!;
      const total = before.total[this.#zoomed]! || 1;
      [from, to] = [(this.#x0 - start) / total, (this.#x1 - start) / total];
    }
    this.#view = view;
    this.#zoomed = zoomed;
    this.#selected = selected;
    this.#hovered = -1;
    cancelAnimationFrame(this.#animation);
    const start = view.start[zoomed]!;
    const total = view.total[zoomed]! || 1;
    this.#setSpan(start + from * total, start + to * total);
    this.#resizeContent();
    if (!before && this.#rootBelow) this.#host.scrollTop = this.#host.scrollHeight;
    this.#plan();
  }

  setMatches(matches: Uint8Array | null): void {
    this.#matches = matches;
    this.#plan();
  }

  setTheme(theme: Theme): void {
    this.#painter.setTheme(theme);
    this.#plan();
  }

  setRootBelow(rootBelow: boolean): void {
    if (this.#rootBelow === rootBelow) return;
    this.#rootBelow = rootBelow;
    this.#resizeContent();
    this.#host.scrollTop = rootBelow ? this.#host.scrollHeight : 0;
    this.#plan();
  }

  zoomTo(node: number, animated = true): void {
    const view = this.#view;
    if (!view) return;
    this.#zoomed = node;
    const [x0, x1] = [view.start[node]!, view.start[node]! + (view.total[node]! || 1)];
    this.#reveal(node);
    cancelAnimationFrame(this.#animation);
    if (!animated || this.#stillness.matches) {
      this.#setSpan(x0, x1);
      this.#plan();
      return;
    }
    const [fromX0, fromX1] = [this.#x0, this.#x1];
    const began = performance.now();
    const step = (now: number) => {
      const time = Math.min(1, Math.max(0, (now - began) / ANIMATION_MS));
      const eased = 1 - (1 - time) ** 3;
      this.#setSpan(fromX0 + (x0 - fromX0) * eased, fromX1 + (x1 - fromX1) * eased);
      this.#plan();
      if (time < 1) this.#animation = requestAnimationFrame(step);
    };
    this.#animation = requestAnimationFrame(step);
  }

  select(node: number, reveal = true): void {
    this.#selected = node;
    if (node >= 0 && reveal) this.#reveal(node);
    this.#plan();
  }

  /** Client rectangle of a node in sight, for the tooltip of the keyboard. */
  placeOf(node: number): DOMRect | null {
    const box = this.#boxes.find((each) => each.node === node);
    if (!box) return null;
    const host = this.#host.getBoundingClientRect();
    const left = Math.max(0, box.left);
    const right = Math.min(host.width, box.left + box.width);
    return new DOMRect(
      host.left + left,
      host.top + this.#top(box.row),
      right - left,
      this.#rowHeight,
    );
  }

  get #rowHeight(): number {
    if (this.#coarse.matches) return 26;
    return this.#host.clientWidth > WIDE ? 24 : 20;
  }

  get #contentHeight(): number {
    const rows = (this.#view?.maxDepth ?? 0) + 1;
    return Math.max(rows * this.#rowHeight + 8, this.#host.clientHeight);
  }

  #resizeContent(): void {
    this.#spacer.style.height = `${this.#contentHeight}px`;
  }

  #top(row: number): number {
    const height = this.#rowHeight;
    const top = this.#rootBelow ? this.#contentHeight - (row + 1) * height : row * height;
    return top - this.#host.scrollTop;
  }

  #rowAt(y: number): number {
    const fromTop = y + this.#host.scrollTop;
    const from = this.#rootBelow ? this.#contentHeight - fromTop : fromTop;
    return Math.floor(from / this.#rowHeight);
  }

  #setSpan(x0: number, x1: number): void {
    const all = this.#view?.total[0] || 1;
    const span = Math.min(all, Math.max(LEAST_SPAN, x1 - x0));
    const from = Math.min(Math.max(0, x0), all - span);
    this.#x0 = from;
    this.#x1 = from + span;
  }

  #reveal(node: number): void {
    const view = this.#view!;
    const top = this.#top(view.depth[node]!);
    const height = this.#host.clientHeight;
    const room = this.#rowHeight * 3;
    if (top < 0) this.#host.scrollTop += top - room;
    else if (top + this.#rowHeight > height) {
      this.#host.scrollTop += top + this.#rowHeight - height + room;
    }
  }

  #plan(): void {
    if (this.#planned !== 0) return;
    this.#planned = requestAnimationFrame(() => {
      this.#planned = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const view = this.#view;
    const [width, height] = [this.#host.clientWidth, this.#host.clientHeight];
    if (!view || width === 0 || height === 0) return;
    const [first, last] = [this.#rowAt(0), this.#rowAt(height)].sort((a, b) => a - b);
    this.#boxes = visibleBoxes(view, {
      x0: this.#x0,
      x1: this.#x1,
      width,
      firstRow: Math.max(0, first!),
      lastRow: last!,
    });
    this.#painter.paint(
      {
        view,
        boxes: this.#boxes,
        width,
        height,
        rowHeight: this.#rowHeight,
        top: (row) => this.#top(row),
        matches: this.#matches,
        selected: this.#selected,
        hovered: this.#hovered,
        focused: document.activeElement === this.#host,
      },
      devicePixelRatio || 1,
    );
  }

  #hover(node: number, x: number, y: number): void {
    if (node !== this.#hovered) {
      this.#hovered = node;
      this.#host.style.cursor = node >= 0 ? 'pointer' : '';
      this.#plan();
    }
    this.#events.hover(node, x, y);
  }

  #gesture(gesture: Gesture): void {
    const view = this.#view;
    if (!view) return;
    const perPixel = (this.#x1 - this.#x0) / (this.#host.clientWidth || 1);
    const hit = () => boxAt(this.#boxes, this.#rowAt(gesture.y), gesture.x)?.node ?? -1;
    switch (gesture.kind) {
      case 'hover':
        this.#hover(gesture.inside ? hit() : -1, gesture.clientX, gesture.clientY);
        break;
      case 'click':
      case 'tap':
      case 'double-tap': {
        const node = hit();
        if (node < 0) break;
        this.#events.select(node);
        if (gesture.kind !== 'tap') this.#events.zoom(node);
        break;
      }
      case 'drag':
        this.#hover(-1, 0, 0);
        cancelAnimationFrame(this.#animation);
        this.#setSpan(this.#x0 - gesture.dx * perPixel, this.#x1 - gesture.dx * perPixel);
        if (gesture.dy !== 0) this.#host.scrollTop -= gesture.dy;
        this.#plan();
        break;
      case 'scale': {
        cancelAnimationFrame(this.#animation);
        this.#hover(-1, 0, 0);
        const centre = this.#x0 + gesture.x * perPixel;
        const span = Math.max(LEAST_SPAN, (this.#x1 - this.#x0) / gesture.factor);
        const part = gesture.x / (this.#host.clientWidth || 1);
        this.#setSpan(centre - span * part, centre + span * (1 - part));
        this.#plan();
        break;
      }
    }
  }

  #key(event: KeyboardEvent): void {
    const view = this.#view;
    if (!view || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.#selected >= 0 ? this.#selected : this.#zoomed;
    const first = this.#selected < 0;
    const [deeper, shallower] = this.#rootBelow
      ? ['ArrowUp', 'ArrowDown']
      : ['ArrowDown', 'ArrowUp'];
    const steps: Record<string, () => void> = {
      [deeper!]: () => this.#events.select(first ? at : intoChild(view, at)),
      [shallower!]: () => this.#events.select(first ? at : view.parent[at]!),
      ArrowRight: () => this.#events.select(first ? at : alongRow(view, at, this.#zoomed, 1)),
      ArrowLeft: () => this.#events.select(first ? at : alongRow(view, at, this.#zoomed, -1)),
      Home: () => this.#events.select(rowEnd(view, at, this.#zoomed, -1)),
      End: () => this.#events.select(rowEnd(view, at, this.#zoomed, 1)),
      Enter: () => this.#events.zoom(at),
      ' ': () => this.#events.zoom(at),
      Escape: () => this.#events.back(),
      Backspace: () => this.#events.back(),
      '0': () => this.#events.reset(),
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    step();
  }
}
