// Previews of links: whether this device asks for them, and those asked for lately.
import type { LinkPreviews } from '../api/types';

const MOST = 200;
const asked = new Map<string, Promise<LinkPreviews>>();

/** Whether this device shows what links lead to. */
export function previewing(): boolean {
  return localStorage.getItem('previews') !== 'no';
}

export function setPreviewing(on: boolean): void {
  localStorage.setItem('previews', on ? 'yes' : 'no');
}

/** Asks once for a line; what failed is asked for again when it is shown again. */
export function known(line: string, ask: () => Promise<LinkPreviews>): Promise<LinkPreviews> {
  const before = asked.get(line);
  if (before) return before;
  const now = ask();
  asked.set(line, now);
  now.catch(() => asked.delete(line));
  const oldest = asked.keys().next().value;
  if (asked.size > MOST && oldest !== undefined) asked.delete(oldest);
  return now;
}
