// What is being written in one conversation (or thread): text, what it answers or changes, files on their way up.
import { http, Problem, upload, url } from '../api/http';
import type { ConversationId, EventId } from '../api/names';
import type { Entry, File as Sent, Person, Quote } from '../api/types';
import { summary } from '../text/summary';
import { app } from './app.svelte';
import { draft, keep } from './drafts';
import { transaction } from './outbox.svelte';

export interface Attached {
  key: string;
  name: string;
  size: number;
  type: string;
  /** A picture of it, from this device. */
  preview?: string | undefined;
  /** 0 to 1. */
  done: number;
  id?: string;
  file?: Sent;
  why?: unknown;
  abort: AbortController;
  body: File;
}

const QUIET = 6000;

export class Composing {
  text = $state('');
  replyTo = $state.raw<Quote | undefined>();
  editing = $state.raw<Entry | undefined>();
  files = $state<Attached[]>([]);
  why = $state<unknown>();
  /** Who was picked from completion: name as written → person. */
  #named = new Map<string, Person>();
  #told = 0;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  /** Asks the field to take the focus. */
  focused = $state(0);

  constructor(
    readonly id: ConversationId,
    readonly thread?: EventId,
  ) {
    void draft(this.#key).then((kept) => {
      if (kept && !this.text) this.text = kept.text;
    });
  }

  get #key(): string {
    return this.thread ? `${this.id} ${this.thread}` : this.id;
  }

  get empty(): boolean {
    return !this.text.trim() && !this.files.length;
  }

  /** Something was typed. */
  typed(): void {
    if (!this.editing) keep(this.#key, { text: this.text });
    if (app.me?.switches.typing === false) return;
    const now = Date.now();
    if (this.text && now - this.#told > 4000) {
      this.#told = now;
      app.writes(this.id, true);
    }
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#still(), this.text ? QUIET : 0);
  }

  #still(): void {
    clearTimeout(this.#quiet);
    if (this.#told) app.writes(this.id, false);
    this.#told = 0;
  }

  reply(entry: Entry): void {
    this.editing = undefined;
    this.replyTo = { id: entry.id, author: entry.author, text: summary(entry) };
    this.focused += 1;
  }

  edit(entry: Entry): void {
    if (entry.body.type !== 'message') return;
    this.replyTo = undefined;
    this.editing = entry;
    this.text = entry.body.text;
    this.focused += 1;
  }

  leave(): void {
    if (this.editing) this.text = '';
    this.editing = undefined;
    this.replyTo = undefined;
  }

  name(as: string, person: Person): void {
    this.#named.set(as, person);
  }

  attach(files: File[]): void {
    for (const body of files) {
      const one: Attached = {
        key: transaction(),
        name: body.name || `${body.type.split('/')[0] ?? 'file'}-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.${body.type.split(/[/;+]/)[1] ?? 'bin'}`,
        size: body.size,
        type: body.type,
        preview: /^image\/(png|jpeg|webp|gif|avif)$/.test(body.type) ? URL.createObjectURL(body) : undefined,
        done: 0,
        abort: new AbortController(),
        body,
      };
      this.files.push(one);
      void this.put(one.key);
    }
    this.focused += 1;
  }

  async put(key: string): Promise<void> {
    const one = this.files.find((file) => file.key === key);
    if (!one) return;
    one.why = undefined;
    try {
      const most = app.me?.limits.file_bytes;
      if (most !== undefined && one.size > most) throw new Problem('too-large', 413);
      const answer = await upload<{ id: string; file: Sent }>(`/files?name=${encodeURIComponent(one.name)}`, one.body, (done) => (one.done = done), one.abort.signal);
      one.id = answer.id;
      one.file = answer.file;
      one.done = 1;
    } catch (why) {
      if (!one.abort.signal.aborted) one.why = why;
    }
  }

  take(key: string): void {
    const one = this.files.find((file) => file.key === key);
    one?.abort.abort();
    if (one?.preview) URL.revokeObjectURL(one.preview);
    if (one?.id) void http.delete(url`/files/${one.id}`).catch(() => undefined);
    this.files = this.files.filter((file) => file.key !== key);
  }

  /** Whether it can go now: everything is up. */
  get ready(): boolean {
    return !this.empty && this.files.every((file) => file.id);
  }

  async send(): Promise<void> {
    if (!this.ready) return;
    this.why = undefined;
    const emote = /^\/me\s/.test(this.text);
    const text = (emote ? this.text.replace(/^\/me\s+/, '') : this.text).trim();
    const mentions = [...this.#named].filter(([as]) => text.includes(as)).map(([, person]) => person.address);
    if (this.editing) {
      const entry = this.editing;
      try {
        const now = await http.put<Entry>(url`/conversations/${this.id}/entries/${entry.id}`, { txn: transaction(), text, markdown: true, ...(mentions.length ? { mentions } : {}) });
        app.timeline(this.id).take(now);
        this.editing = undefined;
        this.text = '';
      } catch (why) {
        this.why = why;
      }
      return;
    }
    const files = this.files.map((file) => file.id!);
    const sent = {
      ...(text ? { text, markdown: true } : {}),
      ...(emote ? { kind: 'emote' as const } : {}),
      ...(files.length ? { files } : {}),
      ...(this.replyTo ? { reply_to: this.replyTo.id } : {}),
      ...(this.thread ? { thread: this.thread } : {}),
      ...(mentions.length ? { mentions } : {}),
    };
    const quote = this.replyTo;
    const shown = this.files.flatMap((file) => (file.file ? [file.file] : []));
    for (const file of this.files) if (file.preview) URL.revokeObjectURL(file.preview);
    this.text = '';
    this.files = [];
    this.replyTo = undefined;
    this.#named.clear();
    keep(this.#key, { text: '' }, 0);
    this.#still();
    await app.outbox.add(this.id, sent, { quote, files: shown });
  }
}
