import { beforeEach, describe, expect, test, vi } from 'vitest';
import { patience, Stream, type Frame } from '../src/api/stream';

/** The other end of the wire. */
class Wire {
  static all: Wire[] = [];
  static OPEN = 1;
  readyState = 1;
  sent: string[] = [];
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number }) => void;
  constructor(readonly url: string) {
    Wire.all.push(this);
  }
  send(text: string) {
    this.sent.push(text);
  }
  close() {
    this.onclose?.({ code: 1000 });
  }
  says(frame: Frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

function listen() {
  const heard: string[] = [];
  const stream = new Stream({ frame: (frame) => heard.push(frame.type), connected: (is) => heard.push(is ? 'connected' : 'lost'), over: () => heard.push('over') }, 'wss://example.org/stream');
  stream.open();
  return { heard, stream };
}

describe('the stream', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('WebSocket', Wire);
    Wire.all = [];
  });

  test('goes on where it was after the connection broke', () => {
    const { heard } = listen();
    expect(Wire.all[0]!.url).toBe('wss://example.org/stream');
    Wire.all[0]!.says({ type: 'hello', cursor: 'a 1', resumed: false, heartbeat: 30 });
    Wire.all[0]!.says({ type: 'entry', cursor: 'a 2', entry: {} as never, fresh: true });
    Wire.all[0]!.onclose?.({ code: 1006 });
    vi.advanceTimersByTime(1000);
    expect(Wire.all[1]!.url).toBe('wss://example.org/stream?cursor=a%202');
    expect(heard).toEqual(['hello', 'connected', 'entry', 'lost']);
  });

  test('a frame that could not be taken is asked for again', () => {
    const stream = new Stream({ frame: (frame) => { if (frame.type === 'entry') throw new Error('no'); }, connected: () => undefined, over: () => undefined }, 'wss://example.org/stream');
    stream.open();
    Wire.all[0]!.says({ type: 'hello', cursor: '1', resumed: false, heartbeat: 30 });
    expect(() => Wire.all[0]!.says({ type: 'entry', cursor: '2', entry: {} as never, fresh: true })).toThrow();
    Wire.all[0]!.onclose?.({ code: 1006 });
    vi.advanceTimersByTime(1000);
    expect(Wire.all[1]!.url).toContain('cursor=1');
  });

  test('a stream that breaks after each hello is asked for less and less often', () => {
    listen();
    for (let n = 0; n < 200; n++) {
      Wire.all.at(-1)!.says({ type: 'hello', cursor: '1', resumed: true, heartbeat: 30 });
      Wire.all.at(-1)!.onclose?.({ code: 1011 });
      vi.advanceTimersByTime(500);
    }
    expect(Wire.all.length).toBeLessThan(15);
  });

  test('silence is found out', () => {
    const { heard } = listen();
    Wire.all[0]!.says({ type: 'hello', cursor: '1', resumed: false, heartbeat: 30 });
    vi.advanceTimersByTime(15_000);
    expect(Wire.all[0]!.sent).toEqual(['{"type":"ping"}']);
    vi.advanceTimersByTime(60_000);
    expect(heard).toContain('lost');
    expect(Wire.all.length).toBeGreaterThan(1);
  });

  test('a session that is over is not knocked for again', () => {
    const { heard } = listen();
    Wire.all[0]!.onclose?.({ code: 4401 });
    vi.advanceTimersByTime(120_000);
    expect(heard).toEqual(['lost', 'over']);
    expect(Wire.all).toHaveLength(1);
  });

  test('waits grow, are spread, and end at half a minute', () => {
    expect(patience(0, 0)).toBe(200);
    expect(patience(3, 1)).toBe(3200);
    expect(patience(50, 1)).toBe(30_000);
  });
});
