// The page's state: who is signed in, the conversations, who is there, and what the stream changes of it.
import { SvelteMap } from 'svelte/reactivity';
import { http, Problem, query, url, whenSignedOut } from '../api/http';
import { Stream, type Frame } from '../api/stream';
import type { Address, ConversationId, EventId } from '../api/names';
import type { Contact, Conversation, Device, Entry, Me, Person, Show } from '../api/types';
import { forget } from './drafts';
import { notify, repushing, stillNotifying } from './notify';
import { Outbox } from './outbox.svelte';
import { place } from './route.svelte';
import { shelf } from './shelf';
import { Timeline } from './timeline.svelte';

export type Phase = 'starting' | 'signed-out' | 'signed-in';

interface Writing {
  who: Person;
  until: number;
}

/** Timelines kept in memory when one goes back and forth. */
const KEPT = 6;

class App {
  phase = $state<Phase>('starting');
  me = $state<Me | undefined>();
  connected = $state(false);
  /** The list is there (perhaps from the last visit, until the node answers). */
  listed = $state(false);
  conversations = new SvelteMap<ConversationId, Conversation>();
  contacts = new SvelteMap<Address, Contact>();
  presence = new SvelteMap<Address, Show>();
  typing = new SvelteMap<ConversationId, Writing[]>();
  /** Up to where others have read: conversation → address → event. */
  markers = new SvelteMap<ConversationId, Map<Address, { who: Person; event: EventId }>>();
  /** A new sign-in of this account, to be shown once. */
  device = $state<Device | undefined>();
  /** Where the reader is. */
  open = $state<ConversationId | undefined>();
  /** Said to screen readers. */
  said = $state('');
  /** Counts changes of a conversation's members, so that lists read them anew. */
  changed = new SvelteMap<ConversationId, number>();

  readonly outbox = new Outbox((entry, waiting) => {
    if (waiting.conversation !== entry.conversation) void this.#begun(waiting.conversation, entry.conversation);
    this.#entry(entry);
  });
  #hearers = new Set<(entry: Entry) => void>();
  #timelines = new Map<ConversationId, Timeline>();
  #stream: Stream | undefined;

  constructor() {
    whenSignedOut(() => void this.#over());
    setInterval(() => this.#sweep(), 2000);
  }

  /** Finds out whether somebody is signed in. */
  async start(): Promise<void> {
    try {
      await this.#enter(await http.get<Me>('/me'));
    } catch (why) {
      if (!(why instanceof Problem)) throw why;
      const last = why.code === 'offline' ? await shelf.get<Me>('snapshot', 'me').catch(() => undefined) : undefined;
      if (last) await this.#enter(last);
      else if (this.phase === 'starting') this.phase = 'signed-out';
    }
  }

  async signIn(name: string, password: string): Promise<void> {
    const label = navigator.userAgent.match(/(Firefox|Edg|OPR|Chrome|Safari)/)?.[0] ?? 'browser';
    await this.#enter(await http.post<Me>('/session', { name, password, device: `${label}, ${navigator.platform}`.slice(0, 60) }));
  }

  /** A new account, where the node lets anybody make one. */
  async register(name: string, password: string, invitation?: string): Promise<void> {
    await this.#enter(await http.post<Me>('/accounts', { name, password, ...(invitation ? { invitation } : {}) }));
  }

  async signOut(): Promise<void> {
    await http.delete('/session').catch(() => undefined);
    await this.#over();
  }

  async #enter(me: Me): Promise<void> {
    const before = await shelf.get<Me>('snapshot', 'me').catch(() => undefined);
    if (before && before.account.address !== me.account.address) await shelf.clear().catch(() => undefined);
    this.me = me;
    this.phase = 'signed-in';
    shelf.put('snapshot', 'me', me).catch(() => undefined);
    const kept = await shelf.get<Conversation[]>('snapshot', 'conversations').catch(() => undefined);
    if (kept && !this.listed) {
      for (const one of kept) if (!this.conversations.has(one.id)) this.conversations.set(one.id, one);
      this.listed = true;
    }
    this.#stream = new Stream({
      frame: (frame) => this.#frame(frame),
      connected: (is) => this.#connection(is),
      over: () => void this.#over(),
    });
    this.#stream.open();
    await this.outbox.load();
    void repushing(true);
  }

  async #over(): Promise<void> {
    this.#stream?.end();
    this.#stream = undefined;
    void repushing(false);
    this.me = undefined;
    this.phase = 'signed-out';
    this.listed = this.connected = false;
    for (const map of [this.conversations, this.contacts, this.presence, this.typing, this.markers]) map.clear();
    this.#timelines.clear();
    this.outbox.waiting = [];
    clearTimeout(this.#saving);
    forget();
    await shelf.clear().catch(() => undefined);
  }

  #connection(is: boolean): void {
    this.connected = is;
    if (is) void this.outbox.flush();
    else if (navigator.onLine) void http.get('/me').catch(() => undefined); // an ended session shows here
  }

  #frame(frame: Frame): void {
    switch (frame.type) {
      case 'hello':
        if (!frame.resumed || this.#stale) this.#again();
        break;
      case 'resync':
        this.#again();
        break;
      case 'entry':
        if (frame.txn) void this.outbox.done(frame.txn);
        this.#entry(frame.entry, frame.fresh);
        break;
      case 'conversation':
        this.#conversation(frame.conversation);
        break;
      case 'left':
        this.conversations.delete(frame.id);
        break;
      case 'read':
        this.#patch(frame.conversation, { unread: frame.unread, mentions: frame.mentions, read_up_to: frame.event });
        if (frame.unread === 0) stillNotifying(frame.conversation);
        break;
      case 'marker': {
        const marks = new Map(this.markers.get(frame.conversation));
        if (frame.kind === 'displayed') marks.set(frame.who.address, { who: frame.who, event: frame.event });
        this.markers.set(frame.conversation, marks);
        break;
      }
      case 'typing':
        this.#typing(frame.conversation, frame.who, frame.active);
        break;
      case 'presence':
        this.presence.set(frame.address, frame.show);
        break;
      case 'contact':
        this.contacts.set(frame.contact.person.address, frame.contact);
        if (frame.contact.show) this.presence.set(frame.contact.person.address, frame.contact.show);
        break;
      case 'member':
      case 'member-gone':
        this.changed.set(frame.conversation, (this.changed.get(frame.conversation) ?? 0) + 1);
        this.#recount(frame.conversation);
        break;
      case 'device':
        if (!frame.device.current) this.device = frame.device;
        break;
      case 'state-lost':
        void this.#people().catch(() => undefined);
        break;
      case 'closed':
      case 'pong':
        break;
    }
  }

  /** What is held may lack something until everything was read anew. */
  #stale = false;
  #waits: ReturnType<typeof setTimeout> | undefined;

  /** Reads everything anew, and once more later when the node can't just now. */
  #again(): void {
    this.#stale = true;
    clearTimeout(this.#waits);
    this.#reload().then(
      () => (this.#stale = false),
      () => (this.#waits = setTimeout(() => this.connected && this.#again(), 4000)),
    );
  }

  /** Reads everything anew: the list, the contacts, and what is open. */
  async #reload(): Promise<void> {
    const all = new Map<ConversationId, Conversation>();
    for (const archived of [false, true]) {
      let after: string | undefined;
      do {
        const page: { conversations: Conversation[]; next?: string } = await http.get(`/conversations${query({ limit: 100, after, archived })}`);
        for (const one of page.conversations) {
          all.set(one.id, one);
          this.conversations.set(one.id, one);
        }
        this.listed = true;
        after = page.next;
      } while (after !== undefined);
    }
    for (const id of this.conversations.keys()) if (!all.has(id)) this.conversations.delete(id);
    this.#snapshot();
    const open = this.open;
    this.#timelines.forEach((timeline, id) => (id === open ? void timeline.show().catch(() => undefined) : this.#timelines.delete(id)));
    await this.#people();
  }

  async #people(): Promise<void> {
    const { contacts } = await http.get<{ contacts: Contact[] }>('/contacts');
    for (const one of contacts) {
      this.contacts.set(one.person.address, one);
      if (one.show) this.presence.set(one.person.address, one.show);
    }
  }

  #saving: ReturnType<typeof setTimeout> | undefined;
  /** The list as it is, for the next start and for reading without a connection. */
  #snapshot(): void {
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => {
      const kept = this.sorted.slice(0, 60).map((one) => $state.snapshot(one));
      if (this.phase === 'signed-in') shelf.put('snapshot', 'conversations', kept).catch(() => undefined);
    }, 1500);
  }

  /** All conversations, pinned first, then by what happened last. */
  sorted = $derived.by(() =>
    [...this.conversations.values()].sort((a, b) => Number(b.flags.pinned) - Number(a.flags.pinned) || b.at - a.at),
  );

  requests = $derived.by(() => this.sorted.filter((one) => one.request || one.membership === 'invited'));

  unread = $derived.by(() =>
    this.sorted.filter((one) => one.unread > 0 && !this.muted(one) && !one.flags.archived).reduce((sum, one) => sum + one.unread, 0),
  );

  muted(one: Conversation, now = Date.now()): boolean {
    const until = one.flags.muted_until;
    return until !== undefined && until !== null && (until === 0 || until > now);
  }

  /** The lines of a conversation; several are kept. */
  timeline(id: ConversationId): Timeline {
    const kept = this.#timelines.get(id) ?? new Timeline(id);
    this.#timelines.delete(id);
    this.#timelines.set(id, kept); // latest last
    for (const old of this.#timelines.keys()) {
      if (this.#timelines.size <= KEPT) break;
      this.#timelines.delete(old);
    }
    return kept;
  }

  #conversation(one: Conversation): void {
    const before = `direct:${one.address}`;
    if (one.kind === 'direct' && one.id !== before && this.conversations.delete(before) && this.open === before) place.instead('c', one.id);
    this.conversations.set(one.id, one);
    this.#snapshot();
  }

  #patch(id: ConversationId, what: Partial<Conversation>): void {
    const one = this.conversations.get(id);
    if (one) this.#conversation({ ...one, ...what });
  }

  /** Calls this with every entry that comes or changes, until the returned function is called. */
  hears(then: (entry: Entry) => void): () => void {
    this.#hearers.add(then);
    return () => this.#hearers.delete(then);
  }

  #entry(entry: Entry, fresh = false): void {
    for (const hearer of this.#hearers) hearer(entry);
    this.#timelines.get(entry.conversation)?.take(entry);
    const one = this.conversations.get(entry.conversation);
    if (!one) {
      if (fresh) void this.fetch(entry.conversation).catch(() => undefined);
      return;
    }
    const speech = entry.body.type === 'message' || entry.body.type === 'encrypted' || entry.body.type === 'retracted';
    // A summary that came before the line has counted it.
    const counted = one.last !== undefined && one.last.order >= entry.order;
    const what: Partial<Conversation> = {};
    if (speech && (!one.last || one.last.id === entry.id || one.last.order < entry.order)) {
      what.last = entry;
      what.at = Math.max(one.at, entry.at);
    }
    if (fresh && speech && !entry.own) {
      if (!counted) {
        what.unread = one.unread + 1;
        if (this.mentionsMe(entry)) what.mentions = one.mentions + 1;
      }
      this.#typing(entry.conversation, entry.author, false);
      if (!this.muted(one) || this.mentionsMe(entry)) notify(one, entry, this.open === one.id);
    }
    if (Object.keys(what).length) this.#patch(one.id, what);
  }

  mentionsMe(entry: Entry): boolean {
    return entry.body.type === 'message' && this.me !== undefined && entry.body.mentions.includes(this.me.account.address);
  }

  /** The first message made the conversation: it has an id of its own now. */
  async #begun(before: ConversationId, now: ConversationId): Promise<void> {
    await this.fetch(now);
    if (this.open === before) place.instead('c', now);
    this.conversations.delete(before);
  }

  #counting = new Set<ConversationId>();
  /** How many are in a room is asked once after they came and went. */
  #recount(id: ConversationId): void {
    if (this.#counting.has(id)) return;
    this.#counting.add(id);
    setTimeout(() => {
      this.#counting.delete(id);
      if (this.conversations.has(id)) void this.fetch(id).catch(() => undefined);
    }, 1500);
  }

  /** One conversation, from the node. */
  async fetch(id: ConversationId): Promise<Conversation> {
    const one = await http.get<Conversation>(url`/conversations/${id}`);
    if (one.membership !== 'left') this.#conversation(one);
    return one;
  }

  /** A conversation that an answer brought. */
  put(one: Conversation): void {
    this.#conversation(one);
  }

  async flag(id: ConversationId, flags: { pinned?: boolean; archived?: boolean; muted_until?: number | null }): Promise<void> {
    const now = await http.patch<Conversation['flags']>(url`/conversations/${id}/flags`, flags);
    this.#patch(id, { flags: now });
  }

  /** Everything up to this line has been seen. */
  async read(id: ConversationId, event: EventId): Promise<void> {
    const one = this.conversations.get(id);
    if (!one || one.read_up_to === event || (one.read_up_to && one.read_up_to > event && one.unread === 0)) return;
    this.#patch(id, { unread: 0, mentions: 0, read_up_to: event });
    await http.put(url`/conversations/${id}/read`, { event }).catch(() => undefined);
  }

  #typing(id: ConversationId, who: Person, active: boolean): void {
    const others = (this.typing.get(id) ?? []).filter((one) => one.who.address !== who.address);
    this.typing.set(id, active ? [...others, { who, until: Date.now() + 30_000 }] : others);
  }

  /** Who stopped typing without saying so (their connection went) is not typing for ever. */
  #sweep(): void {
    const now = Date.now();
    for (const [id, writing] of this.typing) if (writing.some((one) => one.until < now)) this.typing.set(id, writing.filter((one) => one.until >= now));
  }

  /** Tells others in the conversation, through the stream. */
  writes(conversation: ConversationId, active: boolean): void {
    this.#stream?.say({ type: 'typing', conversation, active });
  }

  /** Whether somebody sits before the page. */
  present(show: Show): void {
    this.#stream?.say({ type: 'presence', show });
  }

  announce(what: string): void {
    this.said = what;
  }
}

export const app = new App();
