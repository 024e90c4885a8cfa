// Drafts: what was begun in each conversation stays on this device until it is sent.
import type { ConversationId, EventId } from '../api/names';
import { shelf } from './shelf';

export interface Draft {
  text: string;
  replyTo?: EventId | undefined;
}

const timers = new Map<ConversationId, ReturnType<typeof setTimeout>>();

export async function draft(id: ConversationId): Promise<Draft | undefined> {
  return shelf.get<Draft>('drafts', id).catch(() => undefined);
}

/** Keeps it, a moment after the last key. */
export function keep(id: ConversationId, what: Draft, at = 250): void {
  clearTimeout(timers.get(id));
  timers.set(
    id,
    setTimeout(() => {
      timers.delete(id);
      const kept = what.text.trim() ? shelf.put('drafts', id, what) : shelf.delete('drafts', id);
      kept.catch(() => undefined); // a private window may have no IndexedDB: the draft lives as long as the page
    }, at),
  );
}

/** Nothing more is kept of what was begun: somebody signed out. */
export function forget(): void {
  for (const timer of timers.values()) clearTimeout(timer);
  timers.clear();
}
