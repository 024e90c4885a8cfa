// Push: this browser hears of messages while the page is closed, through its own push service. The node encrypts for the browser.
import { http, Problem } from '../api/http';
import type { PushState } from '../api/types';
import { t } from '../i18n/index.svelte';

/** Where the service worker finds the words that the page chose. */
const WORDS = 'words-1';

const registration = async () => (await navigator.serviceWorker?.getRegistration()) ?? undefined;

async function words(): Promise<void> {
  const said = { message: t('notify.new'), request: t('notify.request'), in: t('notify.in', { who: '{who}', room: '{room}' }) };
  await (await caches.open(WORDS)).put('/words', Response.json(said));
}

async function subscribed(manager: PushManager, key: string): Promise<PushSubscription> {
  const wish = { userVisibleOnly: true, applicationServerKey: key };
  try {
    return await manager.subscribe(wish);
  } catch (why) {
    // It was made for another key: for this node before it was set up anew.
    if (!(why instanceof DOMException) || why.name !== 'InvalidStateError') throw why;
    await (await manager.getSubscription())?.unsubscribe();
    return await manager.subscribe(wish);
  }
}

/** Subscribes, or tells the node anew; `false` where this browser has no push service. */
export async function push(text: boolean): Promise<boolean> {
  const manager = (await registration())?.pushManager;
  const { key } = await http.get<PushState>('/me/push');
  if (!manager || !key) return false;
  let made: PushSubscriptionJSON;
  try {
    made = (await subscribed(manager, key)).toJSON();
  } catch {
    return false;
  }
  const { endpoint, keys } = made;
  if (!endpoint || !keys?.['p256dh'] || !keys['auth']) return false;
  await http.put('/me/push', { endpoint, p256dh: keys['p256dh'], auth: keys['auth'], text });
  await words();
  return true;
}

/** The browser hears no more; the node is told where it can be. */
export async function unpush(signedIn = true): Promise<void> {
  if (signedIn) await http.delete('/me/push').catch(() => undefined);
  await (await (await registration())?.pushManager?.getSubscription())?.unsubscribe();
}

/** A subscription may have changed since the last visit, and the language too. `false` where the node or the browser has none. */
export async function repush(): Promise<boolean> {
  const state = await http.get<PushState>('/me/push');
  if (!state.key) throw new Problem('try-later', 0); // the node can't say just now
  return state.on && (await push(state.text));
}
