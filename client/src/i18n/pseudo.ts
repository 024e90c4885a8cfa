// A language nobody speaks: what is not in ⟦brackets⟧ was written into the page by hand.
import type { Messages } from './index.svelte';

const LETTERS: Record<string, string> = { a: 'å', e: 'é', i: 'ï', o: 'ø', u: 'ü', A: 'Å', E: 'É', O: 'Ø', c: 'ç', n: 'ñ' };

/** Longer by a third, as translations are, and marked. Places to fill stay as they are. */
export function pseudo(words: Messages): Messages {
  const strange = (text: string) =>
    `⟦${text.replace(/\{[^}]*\}|[^{]+/g, (part) => (part.startsWith('{') ? part : part.replace(/[aeiouAEOcn]/g, (c) => LETTERS[c] ?? c)))}${'·'.repeat(Math.ceil(text.length / 3))}⟧`;
  return Object.fromEntries(Object.entries(words).map(([key, text]) => [key, strange(text)])) as Messages;
}
