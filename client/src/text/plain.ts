// Plain text as people write it in chats: links, XEP-0393 styling (*strong*, _emphasis_, ~struck~, `code`), quotes, code blocks.
// The result is data, not HTML: the page writes each piece as text.

export type Span =
  | { kind: 'text' | 'strong' | 'emphasis' | 'struck' | 'code'; text: string }
  | { kind: 'link'; text: string; href: string }
  | { kind: 'mention'; text: string };

export type Block = { kind: 'lines'; lines: Span[][] } | { kind: 'quote'; lines: Span[][] } | { kind: 'code'; text: string; language?: string };

const LINK = /\b(?:https?:\/\/|xmpp:|mailto:|ircs?:\/\/|matrix:)[^\s<>"`]+/i;
const KINDS = { '*': 'strong', _: 'emphasis', '~': 'struck', '`': 'code' } as const;

/** A link ends before the punctuation of the sentence around it; a bracket belongs to it when it opened in it. */
export function trimLink(link: string): string {
  let end = link.length;
  for (;;) {
    const last = link[end - 1];
    if (last === undefined) return '';
    const open = last === ')' ? '(' : last === ']' ? '[' : undefined;
    const inner = link.slice(0, end);
    if (open && inner.split(open).length >= inner.split(last).length) return inner;
    if (!open && !/[.,;:!?'"*_~]/.test(last)) return inner;
    end -= 1;
  }
}

function plain(text: string, kind: 'text' | 'strong' | 'emphasis' | 'struck', mentions: readonly string[], into: Span[]): void {
  let rest = text;
  while (rest) {
    const found = LINK.exec(rest);
    const href = found ? trimLink(found[0]) : '';
    const until = found && href ? found.index : rest.length;
    if (until > 0) named(rest.slice(0, until), kind, mentions, into);
    if (!found || !href) break;
    into.push({ kind: 'link', text: href, href });
    rest = rest.slice(until + href.length);
  }
}

function named(text: string, kind: 'text' | 'strong' | 'emphasis' | 'struck', mentions: readonly string[], into: Span[]): void {
  if (!mentions.length) return void into.push({ kind, text });
  const names = mentions.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
  let from = 0;
  for (const found of text.matchAll(new RegExp(`(?<![\\p{L}\\p{N}_])@?(?:${names})(?![\\p{L}\\p{N}_])`, 'giu'))) {
    if (found.index > from) into.push({ kind, text: text.slice(from, found.index) });
    into.push({ kind: 'mention', text: found[0] });
    from = found.index + found[0].length;
  }
  if (from < text.length) into.push({ kind, text: text.slice(from) });
}

/** XEP-0393 §4: an opening mark stands at the start or after a space and before a non-space; it closes on the same line. */
export function spans(line: string, mentions: readonly string[] = []): Span[] {
  const into: Span[] = [];
  let from = 0;
  for (let at = 0; at < line.length; at++) {
    const mark = line[at] as keyof typeof KINDS;
    const kind = KINDS[mark];
    if (!kind || (at > 0 && !/[\s*_~("'[]/.test(line[at - 1]!)) || !line[at + 1] || /\s/.test(line[at + 1]!)) continue;
    let end = line.indexOf(mark, at + 2);
    while (end > 0 && (/\s/.test(line[end - 1]!) || (line[end + 1] && /[\p{L}\p{N}]/u.test(line[end + 1]!)))) end = line.indexOf(mark, end + 1);
    if (end < 0) continue;
    plain(line.slice(from, at), 'text', mentions, into);
    const inner = line.slice(at + 1, end);
    if (kind === 'code') into.push({ kind, text: inner });
    else plain(inner, kind, mentions, into);
    from = end + 1;
    at = end;
  }
  plain(line.slice(from), 'text', mentions, into);
  return into;
}

/** The blocks of a text. `mentions` are names to be marked. */
export function blocks(text: string, mentions: readonly string[] = []): Block[] {
  const found: Block[] = [];
  const add = (kind: 'lines' | 'quote', line: string) => {
    const last = found.at(-1);
    const one = spans(line, mentions);
    if (last?.kind === kind) last.lines.push(one);
    else found.push({ kind, lines: [one] });
  };
  const lines = text.split('\n');
  for (let n = 0; n < lines.length; n++) {
    const line = lines[n]!;
    const fence = /^```\s*([\w+#-]{0,30})\s*$/.exec(line);
    if (fence) {
      let end = lines.indexOf('```', n + 1);
      if (end < 0) end = lines.length;
      found.push({ kind: 'code', text: lines.slice(n + 1, end).join('\n'), ...(fence[1] ? { language: fence[1] } : {}) });
      n = end;
    } else if (/^>\s?/.test(line)) add('quote', line.replace(/^>\s?/, ''));
    else add('lines', line);
  }
  return found;
}

/** One to three emoji and nothing else: shown larger. */
export function onlyEmoji(text: string): boolean {
  return /^(?:\p{RI}\p{RI}|\p{Emoji_Presentation}|\p{Emoji}\uFE0F)(?:\p{EMod}|\uFE0F|\u200D\p{Emoji}\uFE0F?|\p{EMod})*(?:\s*(?:\p{RI}\p{RI}|\p{Emoji_Presentation}|\p{Emoji}\uFE0F)(?:\p{EMod}|\uFE0F|\u200D\p{Emoji}\uFE0F?)*){0,2}$/u.test(text.trim());
}
