/** Mouse, wheel, pen and touch as a few meanings. Coordinates are CSS pixels inside the element. */

interface Point {
  readonly x: number;
  readonly y: number;
  readonly clientX: number;
  readonly clientY: number;
}

export type Gesture = Point &
  (
    | { readonly kind: 'hover'; readonly inside: boolean }
    /** Mouse or pen. */
    | { readonly kind: 'click' }
    /** Touch. */
    | { readonly kind: 'tap' | 'double-tap' }
    | { readonly kind: 'drag'; readonly dx: number; readonly dy: number }
    | { readonly kind: 'scale'; readonly factor: number }
  );

/** A press that moves further is a drag. */
const CLICK_SLACK = 5;
const DOUBLE_TAP_MS = 320;
const DOUBLE_TAP_SLACK = 30;

/** The element needs `touch-action: pan-y`: vertical scrolling stays the browser's own. */
export function listenToPointers(element: HTMLElement, report: (gesture: Gesture) => void): void {
  const down = new Map<number, PointerEvent>();
  let moved = false;
  let start: Point = { x: 0, y: 0, clientX: 0, clientY: 0 };
  let lastTap = { time: 0, x: 0, y: 0 };

  const point = (event: MouseEvent): Point => {
    const box = element.getBoundingClientRect();
    return {
      x: event.clientX - box.left,
      y: event.clientY - box.top,
      clientX: event.clientX,
      clientY: event.clientY,
    };
  };
  const onScrollbar = (event: PointerEvent) => point(event).x >= element.clientWidth;

  element.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || onScrollbar(event)) return;
    down.set(event.pointerId, event);
    if (down.size === 1) {
      moved = false;
      start = point(event);
    } else moved = true;
  });

  element.addEventListener('pointermove', (event) => {
    const before = down.get(event.pointerId);
    const at = point(event);
    if (!before) {
      if (event.pointerType !== 'touch') report({ kind: 'hover', inside: true, ...at });
      return;
    }
    const other = [...down.values()].find((each) => each.pointerId !== event.pointerId);
    if (other) {
      const gap = (a: PointerEvent) => Math.max(20, Math.abs(a.clientX - other.clientX));
      const centre = (event.clientX + other.clientX) / 2 - element.getBoundingClientRect().left;
      report({ kind: 'scale', factor: gap(event) / gap(before), ...at, x: centre });
      const shift = (event.clientX - before.clientX) / 2;
      report({ kind: 'drag', dx: shift, dy: 0, ...at });
    } else {
      if (!moved && Math.hypot(at.x - start.x, at.y - start.y) > CLICK_SLACK) {
        moved = true;
        // Captured only now: a captured pointer would turn every click into the container's.
        element.setPointerCapture(event.pointerId);
      }
      if (moved) {
        const dy = event.pointerType === 'touch' ? 0 : event.clientY - before.clientY;
        report({ kind: 'drag', dx: event.clientX - before.clientX, dy, ...at });
      }
    }
    down.set(event.pointerId, event);
  });

  element.addEventListener('pointerup', (event) => {
    if (!down.delete(event.pointerId) || moved) return;
    const at = point(event);
    if (event.pointerType !== 'touch') {
      report({ kind: 'click', ...at });
      return;
    }
    const near = Math.hypot(at.x - lastTap.x, at.y - lastTap.y) < DOUBLE_TAP_SLACK;
    const double = near && event.timeStamp - lastTap.time < DOUBLE_TAP_MS;
    lastTap = { time: double ? 0 : event.timeStamp, x: at.x, y: at.y };
    report({ kind: double ? 'double-tap' : 'tap', ...at });
  });
  element.addEventListener('pointercancel', (event) => {
    down.delete(event.pointerId);
  });
  element.addEventListener('pointerleave', (event) => {
    if (!down.has(event.pointerId)) report({ kind: 'hover', inside: false, ...point(event) });
  });

  element.addEventListener(
    'wheel',
    (event) => {
      const at = point(event);
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        report({ kind: 'scale', factor: Math.exp(-event.deltaY * 0.0035), ...at });
        return;
      }
      const sideways = event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        report({ kind: 'drag', dx: -sideways, dy: 0, ...at });
      }
    },
    { passive: false },
  );
}
