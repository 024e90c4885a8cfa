import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { da } from '../src/i18n/da';
import { de } from '../src/i18n/de';
import { en } from '../src/i18n/en';
import { fill, preferred } from '../src/i18n/index.svelte';
import { pseudo } from '../src/i18n/pseudo';

const places = (text: string) => [...text.matchAll(/\{(\w+)/g)].map((found) => found[1]).sort();

function* sources(folder: string): Generator<[string, string]> {
  for (const one of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, one.name);
    if (one.isDirectory()) yield* sources(path);
    else if (/\.(svelte|ts)$/.test(one.name)) yield [path, readFileSync(path, 'utf8')];
  }
}

describe.each([['da', da], ['de', de]])('%s', (_, words) => {
  test('says everything that English says, and nothing else', () => {
    expect(Object.keys(words).sort()).toEqual(Object.keys(en).sort());
    expect(Object.values(words).filter((text) => !text.trim())).toEqual([]);
  });

  test('has the same places to fill', () => {
    for (const [key, text] of Object.entries(en)) expect([key, places(words[key as keyof typeof en])]).toEqual([key, places(text)]);
  });
});

test('every key is used, and none is missing', () => {
  const all = [...sources('src')].filter(([path]) => !path.includes('i18n/')).map(([, text]) => text).join('\n') + readFileSync('src/i18n/time.ts', 'utf8');
  const made = [...all.matchAll(/`([a-z]+\.)\$\{/g)].map((found) => found[1]!);
  const unused = Object.keys(en).filter((key) => !all.includes(`'${key}'`) && !made.some((start) => key.startsWith(start)) && !/^(emoji\.\d|list\.|room\.changed)/.test(key));
  expect(unused).toEqual([]);
});

test('templates hold no words of their own', () => {
  const found: string[] = [];
  for (const [path, source] of sources('src')) {
    if (!path.endsWith('.svelte')) continue;
    const markup = source
      .replace(/<script[\s\S]*?<\/script>|<style[\s\S]*?<\/style>|<!--[\s\S]*?-->/g, '')
      .replace(/=(\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})/g, '=""');
    for (const [, text] of markup.matchAll(/>([^<>{}]*[A-Za-zÆØÅæøåäöüß]{2,}[^<>{}]*)</g)) if (!/^[\s&]*nbsp;?\s*$/.test(text!)) found.push(`${path}: ${text!.trim()}`);
    for (const [, name, text] of markup.matchAll(/\s(aria-label|title|placeholder|alt)="([^"{]*[A-Za-z]{2,}[^"{]*)"/g)) if (!/example\.org/.test(text!)) found.push(`${path}: ${name}=${text}`);
  }
  expect(found).toEqual([]);
});

test('one and many', () => {
  const german = new Intl.PluralRules('de');
  expect(fill('{count:# Antwort|# Antworten}', { count: 1 }, german)).toBe('1 Antwort');
  expect(fill('{count:# Antwort|# Antworten} von {who}', { count: 0, who: 'bob' }, german)).toBe('0 Antworten von bob');
});

test('what people are called cannot fill further places', () => {
  expect(fill('{who} in {room}', { who: '{room}', room: 'town' })).toBe('{room} in town');
});

test('the pseudo-language keeps what is filled in', () => {
  const strange = pseudo(en);
  expect(strange['typing.one']).toMatch(/^⟦\{who\} .*⟧$/);
});

test('the browser is asked which language', () => {
  expect(preferred(null, ['fr-FR', 'de-AT'])).toBe('de');
  expect(preferred(null, ['nb-NO'])).toBe('da');
  expect(preferred('da', ['de'])).toBe('da');
  expect(preferred(null, ['fr'])).toBe('en');
});
