// Languages: all words of the page, typed by the English ones, in one folder. English comes with the page, others when needed.
import { en } from './en';

export type Key = keyof typeof en;
export type Messages = Record<Key, string>;
export type Language = 'en' | 'da' | 'de' | 'pseudo';

export const LANGUAGES: { id: Exclude<Language, 'pseudo'>; name: string }[] = [
  { id: 'en', name: 'English' },
  { id: 'da', name: 'Dansk' },
  { id: 'de', name: 'Deutsch' },
];

const others: Record<Exclude<Language, 'en'>, () => Promise<Messages>> = {
  da: async () => (await import('./da')).da,
  de: async () => (await import('./de')).de,
  pseudo: async () => (await import('./pseudo')).pseudo(en),
};

const state = $state<{ language: Language; words: Messages }>({ language: 'en', words: en });

/** The language that was chosen here, or the first of the browser's that the page speaks. */
export function preferred(chosen = localStorage.getItem('language'), asked: readonly string[] = navigator.languages): Language {
  const known = (one: string | null): one is Language => one === 'en' || (one !== null && Object.hasOwn(others, one));
  if (known(chosen)) return chosen;
  for (const one of asked) {
    const base = one.toLowerCase().split('-')[0]!;
    if (known(base)) return base;
    if (base === 'nb' || base === 'nn' || base === 'no') return 'da'; // closer to home than English
  }
  return 'en';
}

/** Speaks a language from now on. */
export async function speak(language: Language, remember = false): Promise<void> {
  const words = language === 'en' ? en : await others[language]();
  state.words = words;
  state.language = language;
  if (remember) localStorage.setItem('language', language);
  document.documentElement.lang = language === 'pseudo' ? 'en' : language;
}

export function language(): Language {
  return state.language;
}

/** For dates and numbers. */
export function locale(): string {
  const own = navigator.languages.find((one) => one.toLowerCase().startsWith(state.language));
  return own ?? (state.language === 'pseudo' ? 'en' : state.language);
}

/** Fills `{name}` and `{count:one|many}` (`#` is the number). */
export function fill(pattern: string, values: Record<string, string | number> = {}, rules = new Intl.PluralRules('en')): string {
  return pattern.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (whole, name: string, one?: string, many?: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    if (one === undefined || many === undefined) return String(value);
    return (rules.select(Number(value)) === 'one' ? one : many).replaceAll('#', String(value));
  });
}

/** The words for a key, in the language that is spoken. */
export function t(key: Key, values?: Record<string, string | number>): string {
  return fill(state.words[key], values, new Intl.PluralRules(locale()));
}

/** The words for a key that is put together; the fallback where there are none (a newer node may say what the page doesn't know). */
export function maybe(key: string, fallback: string, values?: Record<string, string | number>): string {
  return Object.hasOwn(state.words, key) ? t(key as Key, values) : fallback;
}
