// Notifications while the page is open somewhere: only when nobody looks at the conversation, never more than was asked for.
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

/** Asks the browser when it is switched on. Says what holds now. */
export async function setNotifying(on: boolean): Promise<boolean> {
  if (on && 'Notification' in globalThis && Notification.permission !== 'granted') await Notification.requestPermission();
  localStorage.setItem('notify', on ? 'yes' : 'no');
  return notifying();
}

export function notify(conversation: Conversation, entry: Entry, open: boolean): void {
  if (!notifying() || (open && document.visibilityState === 'visible' && document.hasFocus())) return;
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
}
