import { beforeAll, describe, expect, test } from 'vitest';
import { prefix, wrap } from '../src/text/format';
import { clean, ready } from '../src/text/html.svelte';
import { blocks, onlyEmoji, spans, trimLink } from '../src/text/plain';

describe('plain text', () => {
  test('styling as XEP-0393 has it', () => {
    expect(spans('*strong* _soft_ ~gone~ `code *x*`').map((span) => [span.kind, span.text])).toEqual([
      ['strong', 'strong'], ['text', ' '], ['emphasis', 'soft'], ['text', ' '], ['struck', 'gone'], ['text', ' '], ['code', 'code *x*'],
    ]);
  });

  test.each(['2 * 3 * 4', 'snake_case_name', '* not closed', 'a*b*c', '**', '~/bin and ~/lib'])('%s stays as it is', (text) => {
    expect(spans(text).map((span) => span.text).join('')).toBe(text);
    expect(spans(text).every((span) => span.kind === 'text')).toBe(true);
  });

  test.each([
    ['see https://example.org/a_(b).', 'https://example.org/a_(b)'],
    ['(https://example.org/x)', 'https://example.org/x'],
    ['xmpp:town@rooms.example.org?join, now', 'xmpp:town@rooms.example.org?join'],
  ])('the link in %s', (text, href) => {
    expect(spans(text).find((span) => span.kind === 'link')).toMatchObject({ href });
    expect(spans(text).map((span) => span.text).join('')).toBe(text);
  });

  test('a link that would run something is no link', () => {
    expect(spans('javascript:alert(1) data:text/html,x vbscript:x').every((span) => span.kind === 'text')).toBe(true);
    expect(trimLink('https://example.org.,)')).toBe('https://example.org');
  });

  test('blocks: code keeps its stars, quotes lose their marks', () => {
    expect(blocks('hi\n```rust\nlet a = *b;\n```\n> said\nbye')).toMatchObject([
      { kind: 'lines' }, { kind: 'code', text: 'let a = *b;', language: 'rust' }, { kind: 'quote' }, { kind: 'lines' },
    ]);
    expect(blocks('```\nnever closed')).toMatchObject([{ kind: 'code', text: 'never closed' }]);
  });

  test('names are marked as whole words only', () => {
    expect(spans('bob, @bob and bobby', ['bob']).filter((span) => span.kind === 'mention').map((span) => span.text)).toEqual(['bob', '@bob']);
  });

  test('emoji alone are large', () => {
    expect(['👍', '❤️', '👩‍🚀 🎉', '🇩🇰'].every(onlyEmoji)).toBe(true);
    expect(['', '1', 'ok 👍', '👍👍👍👍👍'].some(onlyEmoji)).toBe(false);
  });
});

describe('HTML of others', () => {
  beforeAll(ready);

  test.each([
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="jAvAsCrIpT:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<p onclick="alert(1)" style="position:fixed" id="page">x</p>',
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    '<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>',
    '<form action="/api/v1/me/remove"><button>x</button></form>',
    '<iframe src="https://example.org"></iframe><object data="x"></object><embed src="x">',
    '<link rel="stylesheet" href="https://example.org/x.css"><style>*{display:none}</style>',
    '<div class="button lead" data-line="x" aria-label="y">x</div>',
  ])('%s is harmless', (html) => {
    const safe = clean(html)!;
    expect(safe).not.toMatch(/<(script|img|svg|math|form|iframe|object|embed|link|style|button)|javascript:|data:|\son\w+=|style=|\bid=|class="button|data-line|aria-/i);
  });

  test('what people write stays', () => {
    expect(clean('<p><strong>a</strong> <em>b</em></p><pre><code class="language-rust">fn</code></pre>')).toBe('<p><strong>a</strong> <em>b</em></p><pre><code class="language-rust">fn</code></pre>');
  });

  test('links open elsewhere and tell nothing', () => {
    expect(clean('<a href="https://example.org/">x</a>')).toContain('rel="noopener noreferrer nofollow"');
  });
});

describe('formatting', () => {
  test('around a selection, and away again', () => {
    const bold = wrap('say it now', 4, 6, '**');
    expect(bold).toEqual({ text: 'say **it** now', from: 6, to: 8 });
    expect(wrap(bold.text, bold.from, bold.to, '**').text).toBe('say it now');
  });

  test('before every line', () => {
    expect(prefix('one\ntwo', 0, 7, '> ').text).toBe('> one\n> two');
    expect(prefix('> one\n> two', 0, 11, '> ').text).toBe('one\ntwo');
  });
});
