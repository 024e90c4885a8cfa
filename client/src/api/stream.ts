// The stream: tails the log from a cursor, comes back by itself, and never skips what happened in between.
import type { ClientFrame, Frame } from './types';

/** What the node tells and is told. Entries and conversations are upserts: applying one twice is harmless. */
export type { Frame, ClientFrame as Said };

export interface Listener {
  /** A frame, in order. */
  frame(frame: Frame): void;
  /** Connected (after `hello`) or not. */
  connected(is: boolean): void;
  /** The session is over. */
  over(): void;
}

/** The wait before attempt `n` (from 0), in milliseconds: up to half a minute, spread so that pages don't come all at once. */
export function patience(n: number, chance = Math.random()): number {
  return Math.min(30_000, 400 * 2 ** n) * (0.5 + chance / 2);
}

/** A connection that lasted this long, in milliseconds, was a good one. */
const STEADY = 10_000;

export class Stream {
  #socket: WebSocket | undefined;
  #cursor: string | undefined;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #beat: ReturnType<typeof setInterval> | undefined;
  #heard = 0;
  /** When the node said hello. */
  #since = 0;
  #ended = false;

  constructor(
    private readonly listener: Listener,
    private readonly address = `${location.origin.replace(/^http/, 'ws')}/api/v1/stream`,
  ) {
    addEventListener('online', this.#now);
    document.addEventListener('visibilitychange', this.#now);
  }

  /** Connects, or connects again. */
  open(): void {
    if (this.#ended || this.#socket) return;
    clearTimeout(this.#timer);
    const query = this.#cursor === undefined ? '' : `?cursor=${encodeURIComponent(this.#cursor)}`;
    const socket = new WebSocket(this.address + query);
    this.#socket = socket;
    this.#heard = Date.now();
    socket.onmessage = (event) => this.#take(JSON.parse(event.data as string) as Frame);
    socket.onclose = (event) => this.#lost(socket, event.code);
    this.#beat = setInterval(() => this.#check(), 15_000);
  }

  /** Tells the node something, if it is there to hear it. */
  say(said: ClientFrame): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(said));
  }

  /** Ends for good. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    removeEventListener('online', this.#now);
    document.removeEventListener('visibilitychange', this.#now);
    this.#socket?.close();
  }

  #take(frame: Frame): void {
    this.#heard = Date.now();
    if (frame.type === 'pong') return;
    if (frame.type === 'hello') this.#since = Date.now();
    if (frame.type === 'closed' && frame.reason === 'signed-out') {
      this.end();
      this.listener.over();
      return;
    }
    this.listener.frame(frame);
    if ('cursor' in frame) this.#cursor = frame.cursor; // only after it took effect here
    if (frame.type === 'hello') this.listener.connected(true);
  }

  #lost(socket: WebSocket, code: number): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    clearInterval(this.#beat);
    this.listener.connected(false);
    if (this.#ended) return;
    // Only what held for a while counts as well: a stream that breaks at once is not asked for at once for ever.
    if (this.#since && Date.now() - this.#since > STEADY) this.#attempt = 0;
    this.#since = 0;
    if (code === 4401) {
      this.end();
      this.listener.over();
      return;
    }
    this.#timer = setTimeout(() => this.open(), patience(this.#attempt++));
  }

  /** A connection that died without saying so is found by its silence. */
  #check(): void {
    const silence = Date.now() - this.#heard;
    if (silence > 45_000) {
      const dead = this.#socket;
      dead?.close();
      if (dead) this.#lost(dead, 1006);
    } else if (silence > 12_000) this.say({ type: 'ping' });
  }

  #now = (): void => {
    if (document.visibilityState === 'hidden' || this.#ended) return;
    if (this.#socket) this.#check();
    else {
      this.#attempt = 0;
      this.open();
    }
  };
}
