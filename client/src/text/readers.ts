// Who can read, as one plain sentence in the reader's language. The facts are the node's.
import type { Readers, ReadersShort } from '../api/types';
import { locale, t } from '../i18n/index.svelte';

export function sentence(readers: ReadersShort | Readers): string {
  const servers = new Intl.ListFormat(locale(), { type: 'conjunction' }).format(readers.servers);
  const mixed = 'mixed' in readers && readers.mixed;
  if (readers.encrypted && !mixed && readers.mark === 'members') return t('readers.members', { scheme: readers.encrypted });
  const base =
    readers.mark === 'anyone'
      ? t('readers.anyone')
      : readers.mark === 'servers'
        ? t('readers.servers', { servers })
        : readers.mark === 'node'
          ? t('readers.node')
          : t('readers.only');
  return readers.encrypted ? `${base} ${t('readers.mixed', { scheme: readers.encrypted })}` : base;
}
