// Notifications: by push where the browser has it, else while the page is open somewhere; only when nobody looks at the conversation.
import type { ConversationId } from '../api/names';
import type { Conversation, Entry } from '../api/types';
import { summary } from '../text/summary';
import { t } from '../i18n/index.svelte';
import { link } from './route.svelte';

const shown = new Map<ConversationId, Notification>();

/** Whether this device notifies: the person said yes here, and the browser agrees. */
export function notifying(): boolean {
  return 'Notification' in globalThis && Notification.permission === 'granted' && localStorage.getItem('notify') === 'yes';
}

/** Whether notifications come by push, also while the page is closed. */
export function pushing(): boolean {
  return notifying() && localStorage.getItem('push') !== null;
}

/** Whether they say who writes what; without push it stays in the browser anyway. */
export function telling(): boolean {
  return localStorage.getItem('push') !== 'bare';
}

/** Asks the browser when it is switched on, and for push where it has that. Says what holds now. */
export async function setNotifying(on: boolean, text = false): Promise<boolean> {
  if (on && 'Notification' in globalThis && Notification.permission !== 'granted') await Notification.requestPermission();
  localStorage.setItem('notify', on ? 'yes' : 'no');
  const { push, unpush } = await import('./push');
  if (notifying() && (await push(text))) localStorage.setItem('push', text ? 'text' : 'bare');
  else await stopPushing(unpush);
  return notifying();
}

async function stopPushing(unpush: (signedIn?: boolean) => Promise<void>, signedIn = true): Promise<void> {
  if (localStorage.getItem('push') === null) return;
  localStorage.removeItem('push');
  await unpush(signedIn).catch(() => undefined);
}

/** Who is signed out hears nothing more; who comes back is known anew, or notified by the page where push is over. */
export async function repushing(signedIn: boolean): Promise<void> {
  if (localStorage.getItem('push') === null) return;
  const { repush, unpush } = await import('./push');
  const holds = signedIn ? await repush().catch(() => undefined) : false;
  if (holds === false) await stopPushing(unpush, signedIn);
}

export function notify(conversation: Conversation, entry: Entry, open: boolean): void {
  if (!notifying() || pushing() || (open && document.visibilityState === 'visible' && document.hasFocus())) return;
  const title = conversation.kind === 'room' ? t('notify.in', { who: entry.author.name, room: conversation.name }) : entry.author.name;
  const text = conversation.request ? t('notify.request') : summary(entry);
  try {
    const one = new Notification(title, { body: text, tag: conversation.id, icon: '/icon-192.png' });
    one.onclick = () => {
      focus();
      location.hash = link('c', conversation.id);
      one.close();
    };
    shown.set(conversation.id, one);
  } catch {
    // Chrome on Android notifies only through the service worker.
    void navigator.serviceWorker?.ready.then((worker) => worker.showNotification(title, { body: text, tag: conversation.id, icon: '/icon-192.png', data: link('c', conversation.id) }));
  }
}

/** What was read elsewhere needs no notification any more. */
export function stillNotifying(id: ConversationId): void {
  shown.get(id)?.close();
  shown.delete(id);
  const pushed = navigator.serviceWorker?.getRegistration().then((it) => it?.getNotifications({ tag: id }));
  void pushed?.then((all) => all?.forEach((one) => one.close())).catch(() => undefined);
}
