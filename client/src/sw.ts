// The service worker: the page starts without a network, hashed files are fetched once. It keeps nothing that people wrote.
/// <reference lib="webworker" />
export {};
declare const self: ServiceWorkerGlobalScope;

const SHELL = 'shell-1';
const FILES = 'files-1';
const MOST = 150;

self.addEventListener('install', () => void self.skipWaiting());

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== SHELL && name !== FILES).map((name) => caches.delete(name))))
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
