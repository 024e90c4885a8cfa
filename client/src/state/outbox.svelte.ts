// What was written and is not yet on the node: kept on the device, sent in order, stored once however often it is tried.
import { http, Problem, url } from '../api/http';
import type { ConversationId } from '../api/names';
import type { Entry, File, Quote, Send } from '../api/types';
import { shelf } from './shelf';

export interface Waiting {
  /** Recognises the message when it is sent again. */
  txn: string;
  conversation: ConversationId;
  send: Omit<Send, 'txn'>;
  /** When it was written, Unix milliseconds. */
  at: number;
  /** Shown with it until the node's own form comes. */
  quote?: Quote | undefined;
  files?: File[];
  /** Why the node does not take it; it stays for a person to decide. */
  refused?: { code: string; detail?: string | undefined };
}

/** A new transaction id. */
export function transaction(): string {
  return crypto.randomUUID();
}

export class Outbox {
  /** Oldest first. */
  waiting = $state<Waiting[]>([]);
  #sending = false;
  #again: ReturnType<typeof setTimeout> | undefined;

  /** `sent` gets the node's form of each message. */
  constructor(private readonly sent: (entry: Entry, waiting: Waiting) => void) {}

  /** Takes up what an earlier page left, and sends it. */
  async load(): Promise<void> {
    const kept = await shelf.all<Waiting>('outbox').catch(() => []);
    const known = new Set(this.waiting.map((one) => one.txn));
    this.waiting = [...kept.filter((one) => !known.has(one.txn)), ...this.waiting].sort((a, b) => a.at - b.at);
    await this.flush();
  }

  of(conversation: ConversationId): Waiting[] {
    return this.waiting.filter((one) => one.conversation === conversation);
  }

  /** Keeps the message, then sends it as soon as the node is there. */
  async add(conversation: ConversationId, send: Omit<Send, 'txn'>, more: { quote?: Quote | undefined; files?: File[] } = {}): Promise<void> {
    const one: Waiting = { txn: transaction(), conversation, send, at: Date.now(), ...more };
    this.waiting.push(one);
    await shelf.put('outbox', one.txn, $state.snapshot(one)).catch(() => undefined);
    await this.flush();
  }

  /** The node has it: by its answer, or because the stream showed it first. */
  async done(txn: string): Promise<void> {
    this.waiting = this.waiting.filter((one) => one.txn !== txn);
    await shelf.delete('outbox', txn).catch(() => undefined);
  }

  /** A person gives it up, or wants it tried again. */
  async retry(txn: string): Promise<void> {
    const one = this.waiting.find((w) => w.txn === txn);
    if (one) delete one.refused;
    await this.flush();
  }

  /** Sends all that waits, one after the other, so that they arrive in the order in which they were written. */
  async flush(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    clearTimeout(this.#again);
    try {
      for (let next = this.#next(); next; next = this.#next()) if (!(await this.#try(next))) break;
    } finally {
      this.#sending = false;
    }
  }

  /** The oldest that may go: in each conversation nothing overtakes a refused one silently, but others go on. */
  #next(): Waiting | undefined {
    return this.waiting.find((one) => !one.refused);
  }

  /** False when nothing can be sent just now. */
  async #try(one: Waiting): Promise<boolean> {
    try {
      const entry = await http.post<Entry>(url`/conversations/${one.conversation}/entries`, { txn: one.txn, ...$state.snapshot(one.send) });
      await this.done(one.txn);
      this.sent(entry, one);
      return true;
    } catch (why) {
      if (!(why instanceof Problem)) throw why;
      if (why.passing || why.status === 401) {
        const wait = why.retryAfter !== undefined ? why.retryAfter * 1000 : 3000;
        if (why.status !== 401) this.#again = setTimeout(() => void this.flush(), wait);
        return false;
      }
      one.refused = { code: why.code, detail: why.detail };
      await shelf.put('outbox', one.txn, $state.snapshot(one)).catch(() => undefined);
      return true;
    }
  }
}
