// Lines for tests: one a second, all by alice.
import type { Entry } from '../src/api/types';

export function entry(n: number, text = `line ${n}`): Entry {
  const order = String(n).padStart(4, '0');
  return {
    id: `e${order}`,
    conversation: 'town',
    order,
    at: Date.UTC(2026, 4, 1, 12, 0, n),
    author: { address: 'alice@example.org', name: 'alice' },
    own: false,
    body: { type: 'message', text, kind: 'text', files: [], mentions: [] },
    reactions: [],
    replies: 0,
  };
}
