// Members of rooms, read when somebody wants to see or name them, and again when they change.
import { SvelteMap } from 'svelte/reactivity';
import { http, query, url } from '../api/http';
import type { ConversationId } from '../api/names';
import type { Member } from '../api/types';
import { app } from './app.svelte';

const read = new SvelteMap<ConversationId, Member[]>();
const asked = new Map<ConversationId, number>();

/** The members as far as they are known; asks the node the first time and after a change. */
export function members(id: ConversationId): Member[] {
  const change = app.changed.get(id) ?? 0;
  if (asked.get(id) !== change) {
    asked.set(id, change);
    void fetchAll(id);
  }
  return read.get(id) ?? [];
}

async function fetchAll(id: ConversationId): Promise<void> {
  const all: Member[] = [];
  let after: string | undefined;
  do {
    const page: { members: Member[]; next?: string } = await http.get(url`/conversations/${id}/members` + query({ limit: 200, after }));
    all.push(...page.members);
    after = page.next;
  } while (after !== undefined && all.length < 5000);
  read.set(id, all);
}

/** Asks anew, after something was changed here. */
export function again(id: ConversationId): void {
  void fetchAll(id);
}
