import { describe, expect, test } from 'vitest';
import type { Entry } from '../src/api/types';
import { join, live, rows, speakers, upsert } from '../src/state/merge';
import { entry } from './people';

const ids = (entries: readonly Entry[]) => entries.map((one) => one.id);
const three = [entry(1), entry(2), entry(3)];

describe('lines come together', () => {
  test('a new line goes where it belongs, not where it came', () => {
    expect(ids(upsert([entry(1), entry(3)], entry(2)))).toEqual(ids(three));
  });

  test('the same line twice is one line, and the later form holds', () => {
    const edited = { ...entry(2), edited_at: 5 };
    const all = upsert(upsert(three, edited), edited);
    expect(ids(all)).toEqual(ids(three));
    expect(all[1]?.edited_at).toBe(5);
  });

  test('a line whose place changed moves', () => {
    expect(ids(upsert(three, { ...entry(1), order: '0009' }))).toEqual(['e0002', 'e0003', 'e0001']);
  });

  test('any order of arrival gives the same', () => {
    const all = Array.from({ length: 40 }, (_, n) => entry(n));
    let mixed: readonly Entry[] = [];
    for (const one of all.toSorted((a, b) => (Number(a.order) * 7919) % 41 - (Number(b.order) * 7919) % 41)) mixed = upsert(mixed, one);
    expect(ids(mixed)).toEqual(ids(all));
  });

  test('what is said at the end while one reads far above is not put into the gap', () => {
    const window = { entries: three, newer: 'e0003' };
    expect(live(window, entry(9))).toBe(window);
    expect(ids(live({ entries: three }, entry(9)).entries)).toContain('e0009');
  });

  test('a change of a line that is shown comes in, whatever the gaps', () => {
    const window = { entries: three, newer: 'e0003', older: 'e0001' };
    expect(live(window, { ...entry(3), edited_at: 7 }).entries[2]?.edited_at).toBe(7);
  });

  test('pages overlap without doubles, and the far side is let go beyond the limit', () => {
    const window = { entries: [entry(5), entry(6)], older: 'e0005' };
    const older = join(window, { entries: [entry(3), entry(4), entry(5)], older: 'e0003' }, 'older', 4);
    expect(ids(older.entries)).toEqual(['e0003', 'e0004', 'e0005', 'e0006']);
    expect(older.newer).toBeUndefined();
    const more = join(older, { entries: [entry(1), entry(2)] }, 'older', 4);
    expect(ids(more.entries)).toEqual(['e0001', 'e0002', 'e0003', 'e0004']);
    expect(more.newer).toBe('e0004');
    const back = join(more, { entries: [entry(5), entry(6)] }, 'newer', 4);
    expect(ids(back.entries)).toEqual(['e0003', 'e0004', 'e0005', 'e0006']);
    expect([back.older, back.newer]).toEqual(['e0003', undefined]);
  });
});

describe('what a timeline shows', () => {
  const DAY = 86_400_000;

  test('days are marked, one person speaks under one head', () => {
    const shown = rows([entry(1), entry(2), { ...entry(3), at: entry(3).at + DAY }]);
    expect(shown.map((row) => row.kind)).toEqual(['day', 'line', 'line', 'day', 'line']);
    expect(shown.filter((row) => row.kind === 'line').map((row) => row.head)).toEqual([true, false, true]);
  });

  test('the mark of what is new stands before the first line of somebody else', () => {
    const shown = rows([entry(1), { ...entry(2), own: true }, entry(3)], 'e0001');
    expect(shown.map((row) => row.kind)).toEqual(['day', 'line', 'line', 'unread', 'line']);
  });

  test('coming and going is gathered', () => {
    const came = (n: number): Entry => ({ ...entry(n), body: { type: 'membership', who: entry(n).author, action: 'joined' } });
    expect(rows([came(1), came(2), entry(3)]).map((row) => row.kind)).toEqual(['day', 'changes', 'line']);
  });

  test('every row has a key of its own', () => {
    const keys = rows([entry(1), entry(2), { ...entry(3), at: entry(3).at + DAY }], 'e0001').map((row) => row.key);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('who spoke last is offered first', () => {
    const bob = { address: 'bob@example.org', name: 'bob' };
    expect(speakers([entry(1), { ...entry(2), author: bob }, entry(3)]).map((one) => one.name)).toEqual(['alice', 'bob']);
  });
});
