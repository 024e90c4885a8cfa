// HTML that others wrote: the node sanitises it, and the page does so once more before it touches the document.
// The sanitiser is fetched beside the conversations; until it is there, the plain text shows.
import type { Config, DOMPurify } from 'dompurify';

const CONFIG: Config = {
  ALLOWED_TAGS: 'a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub sup table tbody td th thead tr u ul'.split(' '),
  ALLOWED_ATTR: ['href', 'class', 'start', 'data-mx-spoiler'],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto|xmpp|ircs?|matrix|sip|sips|tel|geo|openpgp4fpr):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

let now = $state.raw<{ purify?: DOMPurify }>({});

/** Fetches the sanitiser. */
export async function ready(): Promise<void> {
  if (now.purify) return;
  const { default: purify } = await import('dompurify');
  purify.addHook('afterSanitizeAttributes', (node) => {
    if (node.tagName === 'A' && node.hasAttribute('href')) {
      node.setAttribute('target', '_blank');
      node.setAttribute('rel', 'noopener noreferrer nofollow');
    }
    const name = node.getAttribute('class');
    if (name !== null && !(node.tagName === 'CODE' && /^language-[\w+#-]{1,30}$/.test(name))) node.removeAttribute('class');
  });
  now = { purify };
}

/** Safe HTML, or nothing as long as there is no sanitiser. Links open elsewhere and tell nobody where they were followed from; classes only name a code's language. */
export function clean(html: string): string | undefined {
  return now.purify?.sanitize(html, CONFIG);
}
