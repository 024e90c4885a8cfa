// A line of a timeline in a few words: for the list, notifications and screen readers.
import type { Entry, Person } from '../api/types';
import { maybe, t } from '../i18n/index.svelte';

/** What happened to somebody's place in the room. */
export function change(who: Person, author: Person, action: string, reason?: string): string {
  const words = maybe(`change.${action}`, action, { who: who.name, by: author.name });
  return reason ? `${words} (${reason})` : words;
}

export function summary(entry: Entry): string {
  const { body } = entry;
  switch (body.type) {
    case 'message': {
      if (body.kind === 'emote') return `${entry.author.name} ${body.text}`;
      const file = body.files[0];
      const bare = file && (!body.text || body.text === file.url);
      return bare ? t('line.file', { name: file.name ?? t('file') }) : body.text.replace(/\s+/g, ' ').slice(0, 200);
    }
    case 'encrypted':
      return t('line.encrypted', { scheme: body.scheme });
    case 'retracted':
      return t('line.retracted');
    case 'membership':
      return change(body.who, entry.author, body.action, body.reason);
    case 'room':
      return room(entry);
    case 'other':
      return body.fallback ?? t('line.other');
  }
}

/** A change of the room's settings. */
export function room(entry: Entry): string {
  if (entry.body.type !== 'room') return '';
  const { change: what, text } = entry.body;
  const by = entry.author.name;
  if (what === 'topic' && !text) return t('room.notopic', { by });
  return maybe(what === 'settings' ? 'room.changed' : `room.${what}`, what, { by, text: text ?? '' });
}
