// Requests to the node's API: JSON in and out, problems as one type of error.

/** What the node, or the way to it, said instead of an answer. `code` is stable; words for people are the page's. */
export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly detail?: string,
    readonly retryAfter?: number,
    readonly field?: string,
  ) {
    super(detail ?? code);
  }

  /** Whether the same request may succeed later without anybody changing anything. */
  get passing(): boolean {
    return ['offline', 'throttled', 'try-later', 'disk-full', 'unreachable'].includes(this.code);
  }
}

const BASE = '/api/v1';
const CLIENT = { 'Sammen-Client': 'web' };
let signedOut: () => void = () => {};

/** Calls this when the node says that the session is over. */
export function whenSignedOut(then: () => void): void {
  signedOut = then;
}

interface Told {
  code?: string;
  detail?: string;
  retry_after?: number;
  field?: string;
}

function problem(status: number, body: string): Problem {
  let told: Told = {};
  try {
    told = JSON.parse(body) as Told;
  } catch {
    // A proxy's page, not the node's answer.
  }
  const code = told.code ?? (status >= 500 ? 'try-later' : 'bad-request');
  if (code === 'not-signed-in') signedOut();
  return new Problem(code, status, told.detail, told.retry_after, told.field);
}

async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method,
      credentials: 'same-origin',
      headers: { ...(method === 'GET' ? {} : CLIENT), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch (why) {
    if (signal?.aborted) throw why;
    throw new Problem('offline', 0);
  }
  if (!answer.ok) throw problem(answer.status, await answer.text());
  if (answer.status === 204) return undefined as T;
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Puts values into a path or query, escaped: ``url`/conversations/${id}` ``. */
export function url(parts: TemplateStringsArray, ...values: (string | number)[]): string {
  return parts.reduce((all, part, n) => all + encodeURIComponent(String(values[n - 1] ?? '')) + part);
}

/** A query string of what is given; nothing for `undefined`. */
export function query(values: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return given.length ? `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString()}` : '';
}

export const http = {
  get: <T>(path: string, signal?: AbortSignal) => ask<T>('GET', path, undefined, signal),
  post: <T = void>(path: string, body: unknown = {}) => ask<T>('POST', path, body),
  put: <T = void>(path: string, body: unknown = {}) => ask<T>('PUT', path, body),
  patch: <T = void>(path: string, body: unknown) => ask<T>('PATCH', path, body),
  delete: <T = void>(path: string) => ask<T>('DELETE', path),
};

/** Puts bytes up, telling how far it is (0 to 1). */
export function upload<T>(path: string, body: Blob, tell: (done: number) => void, signal?: AbortSignal): Promise<T> {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest(); // fetch tells no progress of what it sends
    request.open('PUT', BASE + path);
    request.setRequestHeader('Sammen-Client', 'web');
    request.setRequestHeader('Content-Type', body.type || 'application/octet-stream');
    request.upload.onprogress = (event) => event.lengthComputable && tell(event.loaded / event.total);
    request.onload = () =>
      request.status < 300
        ? done((request.responseText ? JSON.parse(request.responseText) : undefined) as T)
        : fail(problem(request.status, request.responseText));
    request.onerror = () => fail(new Problem('offline', 0));
    request.onabort = () => fail(new Problem('aborted', 0));
    signal?.addEventListener('abort', () => request.abort());
    request.send(body);
  });
}
