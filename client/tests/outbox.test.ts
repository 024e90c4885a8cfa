import 'fake-indexeddb/auto';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Entry } from '../src/api/types';
import { Outbox } from '../src/state/outbox.svelte';
import { shelf } from '../src/state/shelf';
import { entry } from './people';

interface Asked {
  path: string;
  body: { txn: string; text: string };
}

/** The way to the node, as the test has it. */
function way(answer: (asked: Asked, n: number) => { status: number; body: unknown } | 'offline'): Asked[] {
  const all: Asked[] = [];
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    const asked = { path, body: JSON.parse(init.body as string) as Asked['body'] };
    all.push(asked);
    const said = answer(asked, all.length);
    if (said === 'offline') throw new TypeError('no network');
    return new Response(JSON.stringify(said.body), { status: said.status });
  });
  return all;
}

const taken = (asked: Asked) => ({ status: 201, body: entry(1, asked.body.text) });

describe('what waits to be sent', () => {
  beforeEach(() => shelf.clear());

  test('survives the page, and goes out in the order in which it was written, each under its own number', async () => {
    way(() => 'offline');
    const first = new Outbox(() => undefined);
    await first.add('town', { text: 'one' });
    await first.add('town', { text: 'two' });
    expect(first.waiting.map((one) => one.send.text)).toEqual(['one', 'two']);

    const asked = way(taken);
    const sent: Entry[] = [];
    const second = new Outbox((one) => sent.push(one));
    await second.load();
    expect(asked.map((one) => one.body.text)).toEqual(['one', 'two']);
    expect(new Set(asked.map((one) => one.body.txn)).size).toBe(2);
    expect(second.waiting).toEqual([]);
    expect(await shelf.keys('outbox')).toEqual([]);
    expect(sent).toHaveLength(2);
  });

  test('tries again under the same number when the answer was lost', async () => {
    const asked = way((one, n) => (n === 1 ? 'offline' : taken(one)));
    const outbox = new Outbox(() => undefined);
    await outbox.add('town', { text: 'once' });
    await outbox.flush();
    expect(asked).toHaveLength(2);
    expect(asked[0]!.body.txn).toBe(asked[1]!.body.txn);
    expect(outbox.waiting).toEqual([]);
  });

  test('what the node refuses stays and says why; what comes after it goes on', async () => {
    way((one) => (one.body.text === 'plain' ? { status: 409, body: { code: 'not-acceptable', detail: 'encrypted with OMEMO' } } : taken(one)));
    const outbox = new Outbox(() => undefined);
    await outbox.add('town', { text: 'plain' });
    await outbox.add('other', { text: 'fine' });
    expect(outbox.waiting.map((one) => [one.send.text, one.refused?.code])).toEqual([['plain', 'not-acceptable']]);
    const again = new Outbox(() => undefined);
    await again.load();
    expect(again.waiting[0]?.refused?.detail).toBe('encrypted with OMEMO');
  });

  test('a passing trouble holds everything, so that nothing overtakes', async () => {
    const asked = way(() => ({ status: 503, body: { code: 'try-later' } }));
    const outbox = new Outbox(() => undefined);
    await outbox.add('town', { text: 'one' });
    await outbox.add('town', { text: 'two' });
    expect(asked.every((one) => one.body.text === 'one')).toBe(true);
    expect(outbox.waiting).toHaveLength(2);
  });
});
