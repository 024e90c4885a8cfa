// How lines of a conversation come together: pure functions over sorted windows, so that they can be tested.
import type { EventId } from '../api/names';
import type { Entry, Person } from '../api/types';

/** A stretch of a conversation without gaps. `older`/`newer` are cursors where there is more on that side. */
export interface Window {
  readonly entries: readonly Entry[];
  readonly older?: EventId | undefined;
  readonly newer?: EventId | undefined;
}

const before = (a: Entry, b: Entry): boolean => (a.order === b.order ? a.id < b.id : a.order < b.order);

/** The index of the first entry that is not before `entry`. */
function place(entries: readonly Entry[], entry: Entry): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (before(entries[mid]!, entry)) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** The entries with `entry` as it is now: replaced where it stands, or put where it belongs. */
export function upsert(entries: readonly Entry[], entry: Entry): readonly Entry[] {
  const at = place(entries, entry);
  if (entries[at]?.id === entry.id) return entries.with(at, entry);
  const elsewhere = entries.findIndex((one) => one.id === entry.id); // its place has changed
  const rest = elsewhere < 0 ? entries : entries.toSpliced(elsewhere, 1);
  return rest.toSpliced(place(rest, entry), 0, entry);
}

/**
 * A live entry comes in. One that lies beyond the window's gaps is left out: it will come with its page.
 * Says whether the window changed.
 */
export function live(window: Window, entry: Entry): Window {
  const { entries } = window;
  const first = entries[0];
  const last = entries.at(-1);
  const known = entries.some((one) => one.id === entry.id);
  if (!known && window.newer !== undefined && (!last || before(last, entry))) return window;
  if (!known && window.older !== undefined && first && before(entry, first)) return window;
  return { ...window, entries: upsert(entries, entry) };
}

/** A page of older or newer entries joins the window; the other side is cut where it grows beyond `most`. */
export function join(window: Window, page: { entries: readonly Entry[]; older?: EventId; newer?: EventId }, side: 'older' | 'newer', most: number): Window {
  const known = new Set(window.entries.map((one) => one.id));
  const fresh = page.entries.filter((one) => !known.has(one.id));
  if (side === 'older') {
    const entries = [...fresh, ...window.entries];
    const cut = entries.length > most;
    const kept = cut ? entries.slice(0, most) : entries;
    return { entries: kept, older: page.older, newer: cut ? kept.at(-1)!.id : window.newer };
  }
  const entries = [...window.entries, ...fresh];
  const cut = entries.length > most;
  const kept = cut ? entries.slice(-most) : entries;
  return { entries: kept, newer: page.newer, older: cut ? kept[0]!.id : window.older };
}

/** What a timeline shows, top to bottom. */
export type Row =
  | { kind: 'day'; key: string; at: number }
  | { kind: 'unread'; key: string }
  | { kind: 'line'; key: string; entry: Entry; head: boolean }
  | { kind: 'changes'; key: string; entries: Entry[] };

const GROUP = 5 * 60_000;

/** Local midnight of the day that `at` lies in. */
export function day(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}

function spoken(entry: Entry): boolean {
  return entry.body.type === 'message' && entry.body.kind !== 'emote' && !entry.reply_to && !entry.audience;
}

/** Rows with day marks, the mark of what is new, and consecutive lines of one person under one head. */
export function rows(entries: readonly Entry[], unreadAfter?: EventId): Row[] {
  const all: Row[] = [];
  let today: number | undefined;
  let previous: Entry | undefined;
  let passed = false;
  for (const entry of entries) {
    const its = day(entry.at);
    if (its !== today) {
      all.push({ kind: 'day', key: `day ${its}`, at: entry.at });
      today = its;
      previous = undefined;
    }
    const mark = passed && !entry.own;
    if (mark) {
      all.push({ kind: 'unread', key: 'unread' });
      previous = undefined;
      passed = false;
    }
    if (entry.id === unreadAfter) passed = true;
    if (entry.body.type === 'membership') {
      const last = all.at(-1);
      if (last?.kind === 'changes') last.entries.push(entry);
      else all.push({ kind: 'changes', key: `changes ${entry.id}`, entries: [entry] });
      previous = undefined;
      continue;
    }
    const head = !(
      previous &&
      previous.author.address === entry.author.address &&
      previous.author.name === entry.author.name &&
      spoken(previous) &&
      spoken(entry) &&
      entry.at - previous.at < GROUP
    );
    all.push({ kind: 'line', key: entry.id, entry, head });
    previous = entry;
  }
  return all;
}

/** Everybody who has written in the window, latest first, without doubles: whom completion offers first. */
export function speakers(entries: readonly Entry[]): Person[] {
  const found = new Map<string, Person>();
  for (const entry of entries.toReversed()) if (!found.has(entry.author.address)) found.set(entry.author.address, entry.author);
  return [...found.values()];
}
