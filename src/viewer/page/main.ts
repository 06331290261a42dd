import { App } from './app.ts';
import { embeddedData, pageMode } from './data.ts';
import { goLive } from './live.ts';
import { placePopovers } from './popovers.ts';
import { readTree } from './tree.ts';

const mode = pageMode();
const app = new App(mode === 'live');
placePopovers();
if (mode === 'live') goLive(app);
else {
  try {
    app.showTree(readTree(await embeddedData(mode)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    app.showNothing('This profile cannot be shown', reason);
  }
}
