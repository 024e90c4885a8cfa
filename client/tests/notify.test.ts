import { beforeEach, expect, test, vi } from 'vitest';
import { pushing, repushing } from '../src/state/notify';

/** What the node says of push, and what it was asked besides. */
function node(state: object | 'offline'): string[] {
  const asked: string[] = [];
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    asked.push(`${init.method} ${path}`);
    if (state === 'offline') throw new TypeError('no network');
    return init.method === 'GET' ? Response.json(state) : new Response(null, { status: 204 });
  });
  return asked;
}

beforeEach(() => {
  vi.stubGlobal('Notification', { permission: 'granted' });
  localStorage.setItem('notify', 'yes');
  localStorage.setItem('push', 'bare');
});

test('where the node dropped the subscription, the page notifies again', async () => {
  node({ key: 'AAAA', on: false, text: false });
  expect(pushing()).toBe(true);
  await repushing(true);
  expect(pushing()).toBe(false);
});

test('where the browser has no push any more, the page notifies again and the node hears of it', async () => {
  const asked = node({ key: 'AAAA', on: true, text: false });
  await repushing(true);
  expect(pushing()).toBe(false);
  expect(asked).toContain('DELETE /api/v1/me/push');
});

test.each([['offline' as const], [{ on: false, text: false }]])('what can not be known just now changes nothing: %j', async (state) => {
  node(state);
  await repushing(true);
  expect(pushing()).toBe(true);
});
