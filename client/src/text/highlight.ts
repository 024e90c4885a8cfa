// Colours for code, loaded when the first code block with a known language shows.
let loading: Promise<typeof import('highlight.js/lib/common')> | undefined;

/** Puts colours into the code blocks below `element`. What has no named language stays plain: guessing is slow and often wrong. */
export async function highlight(element: HTMLElement): Promise<void> {
  const blocks = [...element.querySelectorAll<HTMLElement>('pre > code[class*="language-"]:not([data-highlighted])')];
  if (!blocks.length) return;
  loading ??= import('highlight.js/lib/common');
  const { default: hljs } = await loading;
  for (const block of blocks) {
    const name = /language-([\w+#-]+)/.exec(block.className)?.[1];
    if (name && hljs.getLanguage(name) && (block.textContent?.length ?? 0) < 20_000) hljs.highlightElement(block);
  }
}
