// What the page keeps on this device: drafts and messages that wait to be sent. IndexedDB, one small wrapper.

const NAME = 'sammen';
const STORES = ['drafts', 'outbox', 'snapshot'] as const;
export type Store = (typeof STORES)[number];

let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise((done, fail) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => STORES.forEach((store) => request.result.createObjectStore(store));
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error ?? new Error('IndexedDB'));
  });
  return opened;
}

async function act<T>(store: Store, mode: IDBTransactionMode, what: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const transaction = (await open()).transaction(store, mode);
  const request = what(transaction.objectStore(store));
  return new Promise((done, fail) => {
    transaction.oncomplete = () => done(request.result);
    transaction.onabort = transaction.onerror = () => fail(transaction.error ?? new Error('IndexedDB'));
  });
}

export const shelf = {
  get: <T>(store: Store, key: string) => act<T | undefined>(store, 'readonly', (s) => s.get(key) as IDBRequest<T | undefined>),
  all: <T>(store: Store) => act<T[]>(store, 'readonly', (s) => s.getAll() as IDBRequest<T[]>),
  keys: (store: Store) => act<string[]>(store, 'readonly', (s) => s.getAllKeys() as IDBRequest<string[]>),
  put: (store: Store, key: string, value: unknown) => act(store, 'readwrite', (s) => s.put(value, key)),
  delete: (store: Store, key: string) => act<undefined>(store, 'readwrite', (s) => s.delete(key)),
  /** Nothing of an account stays behind on the device. */
  clear: async () => {
    for (const store of STORES) await act<undefined>(store, 'readwrite', (s) => s.clear());
  },
};
