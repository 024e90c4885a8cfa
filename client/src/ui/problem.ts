// What the node's problems are called. The node's own sentence is shown where it says more than the code does.
import { Problem } from '../api/http';
import { maybe, t } from '../i18n/index.svelte';

export function words(why: unknown): string {
  if (!(why instanceof Problem)) return t('problem.unknown');
  if (why.code === 'throttled') return t('problem.throttled', { seconds: Math.ceil(why.retryAfter ?? 10) });
  const own = maybe(`problem.${why.code}`, t('problem.unknown'));
  return why.detail && ['not-acceptable', 'invalid', 'unknown', 'unreachable'].includes(why.code) ? `${own} ${why.detail}` : own;
}
