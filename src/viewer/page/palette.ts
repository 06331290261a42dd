/**
 * Colours of frames. Kinds differ in lightness as well as hue, so that they stay
 * apart for colour-blind eyes; a test checks this and the contrast of every text.
 */
import { css, mix, oklch, type Rgb } from './colour.ts';

export type Theme = 'light' | 'dark';

export interface Kind {
  readonly type: string;
  readonly label: string;
}

/** In the order of the legend. */
export const KINDS: readonly Kind[] = [
  { type: 'kernel', label: 'Kernel' },
  { type: 'native', label: 'Native' },
  { type: 'rust', label: 'Rust' },
  { type: 'go', label: 'Go' },
  { type: 'v8js', label: 'JavaScript' },
  { type: 'jvm', label: 'JVM' },
  { type: 'cpython', label: 'Python' },
  { type: 'jit', label: 'JIT' },
  { type: 'marker', label: 'Cut stack' },
  { type: 'process', label: 'Process' },
  { type: 'thread', label: 'Thread' },
];

export const kindLabel = (type: string): string =>
  KINDS.find((kind) => kind.type === type)?.label ?? (type === 'root' ? 'Everything' : 'Other');

interface Hue {
  readonly light: readonly [number, number];
  readonly dark: readonly [number, number];
  readonly hue: number;
}

// [lightness, chroma] in each theme.
const HUES: Readonly<Record<string, Hue>> = {
  kernel: { light: [0.735, 0.135], dark: [0.43, 0.14], hue: 32 },
  native: { light: [0.91, 0.1], dark: [0.545, 0.11], hue: 84 },
  rust: { light: [0.82, 0.115], dark: [0.48, 0.105], hue: 56 },
  go: { light: [0.84, 0.09], dark: [0.49, 0.085], hue: 225 },
  v8js: { light: [0.78, 0.12], dark: [0.46, 0.085], hue: 158 },
  jvm: { light: [0.76, 0.1], dark: [0.43, 0.12], hue: 300 },
  cpython: { light: [0.74, 0.105], dark: [0.41, 0.125], hue: 268 },
  jit: { light: [0.8, 0.1], dark: [0.46, 0.11], hue: 345 },
  marker: { light: [0.9, 0.004], dark: [0.34, 0.006], hue: 90 },
  process: { light: [0.44, 0.03], dark: [0.72, 0.02], hue: 260 },
  thread: { light: [0.53, 0.02], dark: [0.66, 0.015], hue: 260 },
  root: { light: [0.3, 0.015], dark: [0.85, 0.01], hue: 260 },
};
const OTHER: Hue = { light: [0.87, 0.02], dark: [0.45, 0.02], hue: 90 };

/** Frames of one kind differ a little by binary, which gives the graph a texture to follow. */
export const SHADES = 4;
const SHADE_STEP = 0.016;

export interface Ink {
  readonly fill: Rgb;
  readonly text: Rgb;
}

export interface Palette {
  readonly page: Rgb;
  /** Focus ring and search. */
  readonly accent: Rgb;
  readonly hatch: Rgb;
  ink(type: string, shade: number): Ink;
  /** While a search is on: what does not match. */
  faded(type: string, shade: number): Ink;
  /** Several nodes too thin to draw. */
  readonly crumbs: Rgb;
}

const DARK_TEXT: Rgb = [24, 22, 18];
const LIGHT_TEXT: Rgb = [255, 255, 255];

export function palette(theme: Theme): Palette {
  const page: Rgb = theme === 'light' ? [255, 255, 255] : [19, 20, 24];
  const fill = (type: string, shade: number): Rgb => {
    const hue = HUES[type] ?? OTHER;
    const [lightness, chroma] = hue[theme];
    return oklch(lightness + (shade - (SHADES - 1) / 2) * SHADE_STEP, chroma, hue.hue);
  };
  const bright = (type: string) => (HUES[type] ?? OTHER)[theme][0] > 0.6;
  return {
    page,
    accent: theme === 'light' ? [176, 32, 120] : [255, 196, 92],
    hatch: theme === 'light' ? [168, 164, 156] : [120, 120, 124],
    crumbs: theme === 'light' ? [212, 208, 200] : [62, 63, 70],
    ink: (type, shade) => ({
      fill: fill(type, shade),
      text: bright(type) ? DARK_TEXT : LIGHT_TEXT,
    }),
    faded: (type, shade) => ({
      fill: mix(page, fill(type, shade), 0.16),
      text: theme === 'light' ? [98, 95, 88] : [160, 160, 164],
    }),
  };
}

/** Strings for the canvas, worked out once per theme. */
export class PaletteStyles {
  readonly palette: Palette;
  readonly #styles = new Map<string, { fill: string; text: string }>();

  constructor(theme: Theme) {
    this.palette = palette(theme);
  }

  style(type: string, shade: number, faded: boolean): { fill: string; text: string } {
    const key = `${type}/${shade}/${faded}`;
    let style = this.#styles.get(key);
    if (!style) {
      const ink = faded ? this.palette.faded(type, shade) : this.palette.ink(type, shade);
      style = { fill: css(ink.fill), text: css(ink.text) };
      this.#styles.set(key, style);
    }
    return style;
  }
}

/** The same binary has the same shade in every profile. */
export function shadeOf(module: string): number {
  let hash = 2166136261;
  for (let at = 0; at < module.length; at++) {
    hash = Math.imul(hash ^ module.charCodeAt(at), 16777619);
  }
  return (hash >>> 8) % SHADES;
}
