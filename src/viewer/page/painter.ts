/** Draws boxes on the canvas. Knows pixels and colours, nothing of events. */
import { css } from './colour.ts';
import { labelForms } from './label.ts';
import type { Box } from './layout.ts';
import { PaletteStyles, shadeOf, type Theme } from './palette.ts';
import { cut, printable } from './text.ts';
import type { View } from './view.ts';

export interface Picture {
  readonly view: View;
  readonly boxes: readonly Box[];
  /** CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly rowHeight: number;
  /** Top of a row in CSS pixels on the canvas. */
  readonly top: (row: number) => number;
  /** 1 for frames that match the search; null = no search. */
  readonly matches: Uint8Array | null;
  readonly selected: number;
  readonly hovered: number;
  readonly focused: boolean;
}

const PADDING = 5;
/** Narrower boxes get no text: not even three characters would fit. */
const LEAST_LABEL = 26;
const LABEL_LIMIT = 400;
const ROUND_FROM = 10;

export class Painter {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  #styles: PaletteStyles;
  #hatch: CanvasPattern | null = null;
  #font = '';
  readonly #charWidths = new Map<string, number>();
  #forms = new WeakMap<object, string[]>();
  #shades = new WeakMap<object, number>();

  constructor(canvas: HTMLCanvasElement, theme: Theme) {
    const context = canvas.getContext('2d', { alpha: false });
    if (!context) throw new Error('this browser cannot draw on a canvas');
    this.#canvas = canvas;
    this.#context = context;
    this.#styles = new PaletteStyles(theme);
  }

  setTheme(theme: Theme): void {
    this.#styles = new PaletteStyles(theme);
    this.#hatch = null;
  }

  paint(picture: Picture, pixelRatio: number): void {
    const canvas = this.#canvas;
    const context = this.#context;
    const [width, height] = [
      Math.max(1, Math.round(picture.width * pixelRatio)),
      Math.max(1, Math.round(picture.height * pixelRatio)),
    ];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    context.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
    context.fillStyle = css(this.#styles.palette.page);
    context.fillRect(0, 0, picture.width, picture.height);
    const font = `${picture.rowHeight > 22 ? 13 : 12}px system-ui, "Segoe UI", Roboto, sans-serif`;
    if (font !== this.#font) {
      this.#font = font;
      this.#charWidths.clear();
    }
    // Setting the canvas size resets the font.
    context.font = font;
    context.textBaseline = 'middle';
    const snap = (value: number) => Math.round(value * pixelRatio) / pixelRatio;
    for (const box of picture.boxes) this.#box(picture, box, snap);
    this.#ring(picture, picture.hovered, false, snap);
    this.#ring(picture, picture.selected, true, snap);
  }

  #box(picture: Picture, box: Box, snap: (value: number) => number): void {
    const context = this.#context;
    const left = snap(Math.max(box.left, -4));
    const right = snap(Math.min(box.left + box.width, picture.width + 4));
    const gap = right - left > 3 ? 1 : 0;
    const width = Math.max(right - left - gap, 0.5);
    const top = snap(picture.top(box.row));
    const height = picture.rowHeight - 1;
    if (box.node < 0) {
      context.fillStyle = css(this.#styles.palette.crumbs);
      context.fillRect(left, top, width, height);
      return;
    }
    const frameIndex = picture.view.frame[box.node]!;
    const frame = picture.view.frames[frameIndex]!;
    const found = picture.matches !== null && picture.matches[frameIndex] === 1;
    const faded = picture.matches !== null && !found && frame.type !== 'root';
    const style = this.#styles.style(frame.type, this.#shade(frame), faded);
    context.fillStyle = style.fill;
    const rounded = width > ROUND_FROM;
    if (rounded) {
      context.beginPath();
      context.roundRect(left, top, width, height, 2.5);
      context.fill();
    } else context.fillRect(left, top, width, height);
    if (frame.type === 'marker') {
      context.fillStyle = this.#hatchPattern();
      if (rounded) context.fill();
      else context.fillRect(left, top, width, height);
    }
    if (found) {
      context.fillStyle = css(this.#styles.palette.accent);
      context.fillRect(left, top + height - 3, width, 3);
    }
    if (width < LEAST_LABEL) return;
    const from = Math.max(left, 0) + PADDING;
    const room = Math.min(right - gap, picture.width) - from - PADDING + 2;
    const label = this.#fit(this.#labels(frame), room);
    if (label === '') return;
    if (frame.type === 'marker') {
      // A plain ground under the words keeps them readable on the hatch.
      context.fillStyle = style.fill;
      context.fillRect(from - 2, top + 2, Math.min(this.#width(label), room) + 4, height - 4);
    }
    context.fillStyle = style.text;
    context.fillText(label, from, top + height / 2 + 0.5);
  }

  #ring(picture: Picture, node: number, selected: boolean, snap: (value: number) => number): void {
    const box = node < 0 ? undefined : picture.boxes.find((each) => each.node === node);
    if (!box) return;
    const context = this.#context;
    const left = snap(Math.max(box.left, 0));
    const right = snap(Math.min(box.left + box.width, picture.width));
    // A ring around a hair is still a ring.
    const width = Math.max(right - left - 1, selected ? 5 : 2);
    const top = snap(picture.top(box.row));
    const height = picture.rowHeight - 1;
    const palette = this.#styles.palette;
    if (selected) {
      context.lineWidth = 2;
      context.strokeStyle = css(palette.page);
      context.strokeRect(left + 2.5, top + 2.5, Math.max(width - 5, 1), height - 5);
    }
    context.lineWidth = selected ? (picture.focused ? 3 : 2) : 1.5;
    context.strokeStyle = css(selected ? palette.accent : palette.ink('root', 0).fill);
    context.strokeRect(left + 0.75, top + 0.75, width - 1.5, height - 1.5);
  }

  #shade(frame: { module: string }): number {
    let shade = this.#shades.get(frame);
    if (shade === undefined) {
      shade = shadeOf(frame.module);
      this.#shades.set(frame, shade);
    }
    return shade;
  }

  #labels(frame: { name: string; short: string; type: string }): string[] {
    let forms = this.#forms.get(frame);
    if (!forms) {
      forms = labelForms(frame.short).map((form) => cut(printable(form), LABEL_LIMIT));
      this.#forms.set(frame, forms);
    }
    return forms;
  }

  /** The longest form that fits, else as much of the shortest as fits. */
  #fit(forms: readonly string[], room: number): string {
    for (const form of forms) {
      if (this.#width(form) <= room) return form;
    }
    const shortest = forms[forms.length - 1]!;
    let used = this.#charWidth('…');
    let end = 0;
    for (const char of shortest) {
      used += this.#charWidth(char);
      if (used > room) break;
      end += char.length;
    }
    return end < 2 ? '' : `${shortest.slice(0, end)}…`;
  }

  #width(text: string): number {
    let width = 0;
    for (const char of text) width += this.#charWidth(char);
    return width;
  }

  /** Summed widths ignore kerning (under 1 % off) and spare a measurement per label and frame. */
  #charWidth(char: string): number {
    let width = this.#charWidths.get(char);
    if (width === undefined) {
      width = this.#context.measureText(char).width;
      this.#charWidths.set(char, width);
    }
    return width;
  }

  #hatchPattern(): CanvasPattern | string {
    if (!this.#hatch) {
      const tile = document.createElement('canvas');
      tile.width = tile.height = 8;
      const context = tile.getContext('2d')!;
      context.strokeStyle = css(this.#styles.palette.hatch);
      context.lineWidth = 1.4;
      for (const x of [-8, 0, 8]) {
        context.moveTo(x, 8);
        context.lineTo(x + 8, 0);
      }
      context.stroke();
      this.#hatch = this.#context.createPattern(tile, 'repeat');
    }
    return this.#hatch ?? 'transparent';
  }
}
