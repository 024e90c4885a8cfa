// Keys that work everywhere on the page. The page of shortcuts lists them from here.
import type { Key } from '../i18n/index.svelte';
import { app } from './app.svelte';
import { place } from './route.svelte';

interface Shortcut {
  keys: string[];
  what: Key;
}

export const SHORTCUTS: { group: Key; all: Shortcut[] }[] = [
  {
    group: 'keys.everywhere',
    all: [
      { keys: ['Alt', '↑'], what: 'keys.previous' },
      { keys: ['Alt', '↓'], what: 'keys.next' },
      { keys: ['Alt', 'Shift', '↓'], what: 'keys.unread' },
      { keys: ['Ctrl', 'K'], what: 'keys.filter' },
      { keys: ['Ctrl', 'Shift', 'F'], what: 'keys.search' },
      { keys: ['Alt', 'N'], what: 'keys.new' },
      { keys: ['Ctrl', '/'], what: 'keys.this' },
    ],
  },
  {
    group: 'keys.writing',
    all: [
      { keys: ['Enter'], what: 'keys.send' },
      { keys: ['Shift', 'Enter'], what: 'keys.line' },
      { keys: ['↑'], what: 'keys.editlast' },
      { keys: ['Shift', 'Tab'], what: 'keys.lines' },
      { keys: ['@'], what: 'keys.mention' },
      { keys: ['Ctrl', 'B'], what: 'format.strong' },
      { keys: ['Ctrl', 'I'], what: 'format.emphasis' },
      { keys: ['Ctrl', 'E'], what: 'format.code' },
      { keys: ['Esc'], what: 'keys.leave' },
    ],
  },
  {
    group: 'keys.reading',
    all: [
      { keys: ['↑', '↓'], what: 'keys.updown' },
      { keys: ['R'], what: 'reply' },
      { keys: ['E'], what: 'edit' },
      { keys: ['+'], what: 'react' },
      { keys: ['T'], what: 'thread' },
      { keys: ['Del'], what: 'retract' },
      { keys: ['Home'], what: 'keys.oldest' },
      { keys: ['End'], what: 'keys.newest' },
    ],
  },
];

function step(by: 1 | -1, unread = false): void {
  const all = app.sorted.filter((one) => !one.flags.archived && (!unread || one.unread > 0 || one.id === app.open));
  const at = all.findIndex((one) => one.id === app.open);
  const next = at < 0 ? all[by > 0 ? 0 : all.length - 1] : all[at + by];
  if (next) place.go('c', next.id);
}

export function keys(event: KeyboardEvent): void {
  const command = event.ctrlKey || event.metaKey;
  const name = event.key.toLowerCase();
  let found = true;
  if (event.altKey && !command && name === 'arrowup') step(-1, event.shiftKey);
  else if (event.altKey && !command && name === 'arrowdown') step(1, event.shiftKey);
  else if (event.altKey && !command && event.code === 'KeyN') place.go('new');
  else if (command && !event.altKey && name === 'k') {
    if (place.now.view !== '' && matchMedia('(max-width: 760px)').matches) place.go();
    requestAnimationFrame(() => document.getElementById('filter')?.focus());
  } else if (command && event.shiftKey && name === 'f') place.go('search');
  else if (command && name === '/') place.go('shortcuts');
  else found = false;
  if (found) event.preventDefault();
}
