// One conversation's lines: a window over the log that grows where the reader goes and stays bounded.
import { tick } from 'svelte';
import { http, query, url } from '../api/http';
import type { ConversationId, EventId } from '../api/names';
import type { Entry, Page } from '../api/types';
import { join, live, type Window } from './merge';

/** Lines kept at once. Beyond it the far side is let go and read again when needed. */
const MOST = 600;
const PAGE = 60;

export class Timeline {
  window = $state.raw<Window>({ entries: [] });
  /** The first page is there. */
  ready = $state(false);
  loading = $state<'older' | 'newer' | undefined>();
  /** The last change put lines before the first one: the view keeps its place from the end. */
  shifted = $state(false);

  /** What the stream said while a page was on its way: the page may be older than that. */
  #meanwhile = new Set<Entry[]>();

  constructor(readonly id: ConversationId) {}

  get atEnd(): boolean {
    return this.ready && this.window.newer === undefined;
  }

  /** Shows the end, the surroundings of a line, or what was said from a date on. */
  async show(where: { around?: EventId | undefined; date?: number } = {}): Promise<void> {
    const more = where.around !== undefined || where.date !== undefined;
    await this.#page({ ...where, limit: more ? PAGE * 2 : PAGE }, (page) => {
      this.shifted = false;
      this.window = { entries: page.entries, older: page.older, newer: page.newer };
      this.ready = true;
    });
  }

  async more(side: 'older' | 'newer'): Promise<void> {
    const from = this.window[side];
    if (this.loading || from === undefined) return;
    this.loading = side;
    let joined: Window | undefined;
    try {
      await this.#page({ [side === 'older' ? 'before' : 'after']: from, limit: PAGE }, (page) => {
        if (this.window[side] !== from) return; // shown anew meanwhile
        joined = join(this.window, page, side, MOST);
      });
      if (joined) await this.#grow(joined, side);
    } finally {
      this.loading = undefined;
    }
  }

  /** An entry as it is now. */
  take(entry: Entry): void {
    for (const missed of this.#meanwhile) missed.push(entry);
    if (!this.ready) return;
    this.shifted = false;
    this.window = live(this.window, entry);
  }

  /** The view tells lines that came from lines that went by the length alone: so only one end changes at a time. */
  async #grow(to: Window, side: 'older' | 'newer'): Promise<void> {
    const kept = new Set(to.entries.map((one) => one.id));
    const known = new Set(this.window.entries.map((one) => one.id));
    const cut = this.window.entries.filter((one) => kept.has(one.id));
    const all = side === 'older' ? [...to.entries.filter((one) => !known.has(one.id)), ...cut] : undefined;
    if (all) {
      if (cut.length < this.window.entries.length) {
        this.shifted = false;
        this.window = { ...this.window, entries: cut, newer: to.newer };
        await tick();
      }
      this.shifted = true;
      this.window = { ...to, entries: all };
      return;
    }
    const added = to.entries.filter((one) => !known.has(one.id));
    this.shifted = false;
    this.window = { ...this.window, entries: [...this.window.entries, ...added], newer: to.newer };
    if (cut.length === known.size) return;
    await tick();
    this.shifted = true;
    this.window = { ...this.window, entries: this.window.entries.filter((one) => kept.has(one.id)), older: to.older };
  }

  async #page(what: Record<string, string | number | undefined>, put: (page: Page) => void): Promise<void> {
    const missed: Entry[] = [];
    this.#meanwhile.add(missed);
    try {
      put(await http.get<Page>(url`/conversations/${this.id}/entries` + query(what)));
      for (const entry of missed) this.window = live(this.window, entry);
    } finally {
      this.#meanwhile.delete(missed);
    }
  }
}
