// Putting Markdown around or before what is selected, and taking it away again.

export interface Marked {
  text: string;
  from: number;
  to: number;
}

/** Around the selection: `**bold**`; a link gets a place for its address. */
export function wrap(text: string, from: number, to: number, sign: string): Marked {
  const inner = text.slice(from, to);
  if (sign === '[') {
    const link = `[${inner}](https://)`;
    const at = from + inner.length + 3;
    return { text: text.slice(0, from) + link + text.slice(to), from: at, to: at + 8 };
  }
  if (inner.includes('\n') && sign === '`') return { text: `${text.slice(0, from)}\`\`\`\n${inner}\n\`\`\`${text.slice(to)}`, from: from + 4, to: to + 4 };
  const n = sign.length;
  if (text.slice(from - n, from) === sign && text.slice(to, to + n) === sign) return { text: text.slice(0, from - n) + inner + text.slice(to + n), from: from - n, to: to - n };
  return { text: text.slice(0, from) + sign + inner + sign + text.slice(to), from: from + n, to: to + n };
}

/** Before every line of the selection: `> quote`. */
export function prefix(text: string, from: number, to: number, sign: string): Marked {
  const start = text.lastIndexOf('\n', from - 1) + 1;
  const lines = text.slice(start, to).split('\n');
  const has = lines.every((line) => line.startsWith(sign));
  const changed = lines.map((line) => (has ? line.slice(sign.length) : sign + line)).join('\n');
  return { text: text.slice(0, start) + changed + text.slice(to), from: start + changed.length, to: start + changed.length };
}
