// The service worker: the page starts without a network, hashed files are fetched once. It keeps nothing that people wrote.
/// <reference lib="webworker" />
export {};
declare const self: ServiceWorkerGlobalScope;

const SHELL = 'shell-1';
const FILES = 'files-1';
const WORDS = 'words-1';
const MOST = 150;

self.addEventListener('install', () => void self.skipWaiting());

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => ![SHELL, FILES, WORDS].includes(name)).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

/** Hashed names never change what they hold. */
async function file(request: Request): Promise<Response> {
  const cache = await caches.open(FILES);
  const kept = await cache.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) {
    await cache.put(request, answer.clone());
    const all = await cache.keys();
    for (const old of all.slice(0, Math.max(0, all.length - MOST))) await cache.delete(old);
  }
  return answer;
}

/** The newest page where there is a network, else the last one. */
async function shell(request: Request): Promise<Response> {
  const cache = await caches.open(SHELL);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put('/', answer.clone());
    return answer;
  } catch (why) {
    const kept = await cache.match('/');
    if (kept) return kept;
    throw why;
  }
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (url.pathname.startsWith('/assets/') || /^\/(icon|manifest)[\w.-]*$/.test(url.pathname)) event.respondWith(file(request));
  else if (request.mode === 'navigate' && url.pathname === '/') event.respondWith(shell(request));
});

/** What the node tells of a message; names and text only where the person wanted that. */
interface Told {
  c: string;
  kind: 'message' | 'request';
  who?: string;
  room?: string;
  text?: string;
}

/** The words that the page chose when it subscribed. */
async function words(): Promise<Record<string, string>> {
  const kept = await (await caches.open(WORDS)).match('/words');
  return kept ? ((await kept.json()) as Record<string, string>) : {};
}

async function tell(told: Told): Promise<void> {
  const at = `#/c/${encodeURIComponent(told.c)}`;
  const open = await self.clients.matchAll({ type: 'window' });
  if (open.some((one) => one.focused && one.visibilityState === 'visible' && `${new URL(one.url).hash}/`.startsWith(`${at}/`))) return;
  const said = await words();
  const filled = (text: string) => text.replace('{who}', () => told.who ?? '').replace('{room}', () => told.room ?? '');
  const title = told.who ? (told.room ? filled(said['in'] ?? '{who} · {room}') : told.who) : (said[told.kind] ?? 'Sammen');
  await self.registration.showNotification(title, { body: told.text ?? '', tag: told.c, icon: '/icon-192.png', data: at });
}

self.addEventListener('push', (event) => {
  let told: Told | undefined;
  try {
    told = event.data?.json() as Told;
  } catch {
    return; // not the node's
  }
  if (typeof told?.c === 'string') event.waitUntil(tell(told));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const to = typeof event.notification.data === 'string' ? event.notification.data : '';
  event.waitUntil(
    self.clients.matchAll({ type: 'window' }).then(async (open) => {
      const one = open[0];
      if (!one) return void (await self.clients.openWindow(`/${to}`));
      await one.focus();
      await one.navigate(`/${to}`).catch(() => undefined);
    }),
  );
});
