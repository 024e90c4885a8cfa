import { expect, test } from 'vitest';
import { link, parse } from '../src/state/route.svelte';

test.each([['c', 'direct:xmpp:bob@other.net'], ['c', '#town/%', 'at', 'x y'], ['settings', 'devices'], ['']])('a link leads back to where it was made: %s', (...parts) => {
  expect(parse(link(...parts))).toEqual({ view: parts[0], rest: parts.slice(1) });
});

test('a link that somebody broke leads somewhere', () => {
  expect(parse('#/c/%E0%A4%A')).toEqual({ view: 'c', rest: ['%E0%A4%A'] });
});
