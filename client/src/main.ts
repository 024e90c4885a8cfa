// Where the page begins.
import { mount } from 'svelte';
import './theme.css';
import './ui/theme.svelte';
import App from './App.svelte';
import { preferred, speak } from './i18n/index.svelte';
import { app } from './state/app.svelte';
import { ready } from './text/html.svelte';

const target = document.getElementById('page');
if (target) {
  void app.start();
  void ready().catch(() => undefined);
  void speak(preferred())
    .catch(() => undefined) // offline for the first time in this language: English then
    .then(() => mount(App, { target }));
}
if (import.meta.env.PROD && 'serviceWorker' in navigator) void navigator.serviceWorker.register('/sw.js').catch(() => undefined);
