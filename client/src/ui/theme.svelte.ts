// Light, dark, or as the device has it.
export type Theme = 'light' | 'dark' | 'device';

const dark = matchMedia('(prefers-color-scheme: dark)');
const state = $state<{ theme: Theme }>({ theme: (localStorage.getItem('theme') as Theme | null) ?? 'device' });

function apply(): void {
  document.documentElement.dataset['theme'] = state.theme === 'device' ? (dark.matches ? 'dark' : 'light') : state.theme;
}

dark.addEventListener('change', apply);
apply();

export function theme(): Theme {
  return state.theme;
}

export function setTheme(now: Theme): void {
  state.theme = now;
  localStorage.setItem('theme', now);
  apply();
}
