// Times and sizes as people of the spoken language write them.
import { locale, t } from './index.svelte';

const made = new Map<string, Intl.DateTimeFormat>();

function format(kind: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale()} ${kind}`;
  const known = made.get(key) ?? new Intl.DateTimeFormat(locale(), options);
  made.set(key, known);
  return known;
}

export const clock = (at: number): string => format('clock', { hour: '2-digit', minute: '2-digit' }).format(at);
export const full = (at: number): string => format('full', { dateStyle: 'full', timeStyle: 'short' }).format(at);
export const date = (at: number): string => format('date', { dateStyle: 'medium' }).format(at);
export const moment = (at: number): string => format('moment', { dateStyle: 'medium', timeStyle: 'short' }).format(at);

function daysAgo(at: number, now: number): number {
  return Math.round((new Date(now).setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86_400_000);
}

/** The name of a day: today, yesterday, a weekday with its date, with the year where it is another. */
export function dayName(at: number, now = Date.now()): string {
  const ago = daysAgo(at, now);
  if (ago === 0) return t('day.today');
  if (ago === 1) return t('day.yesterday');
  const year = new Date(at).getFullYear() === new Date(now).getFullYear() ? {} : ({ year: 'numeric' } as const);
  return format(`day${'year' in year}`, { weekday: 'long', day: 'numeric', month: 'long', ...year }).format(at);
}

/** As short as a list needs it: the time today, the weekday this week, else the date. */
export function short(at: number, now = Date.now()): string {
  const ago = daysAgo(at, now);
  if (ago === 0) return clock(at);
  if (ago < 7) return format('weekday', { weekday: 'short' }).format(at);
  return format('short', { day: 'numeric', month: 'numeric', year: '2-digit' }).format(at);
}

/** Bytes, for people. */
export function size(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return new Intl.NumberFormat(locale(), { style: 'unit', unit: units[step]!, unitDisplay: 'short', maximumFractionDigits: step ? 1 : 0 }).format(bytes / 1000 ** step);
}
