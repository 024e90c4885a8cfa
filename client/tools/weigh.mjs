// After the build: compresses every file once, for good, and says what the first load weighs. Too heavy is an error.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const DIST = new URL('../dist/', import.meta.url).pathname;
const MOST = 120 * 1024;
const weights = new Map();

function walk(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) walk(path);
    else if (/\.(html|js|css|svg|json|webmanifest)$/.test(name)) {
      const bytes = readFileSync(path);
      const gz = gzipSync(bytes, { level: 9 });
      writeFileSync(`${path}.gz`, gz);
      writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      weights.set(path.slice(DIST.length), gz.length);
    } else if (!/\.(gz|br)$/.test(name)) weights.set(path.slice(DIST.length), statSync(path).size);
  }
}
walk(DIST);

// What a browser fetches before the first view: the page, what it names, what those scripts import at once, and the Latin font.
const html = readFileSync(join(DIST, 'index.html'), 'utf8');
const first = new Set(['index.html', ...[...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((found) => found[1])]);
for (const name of first) {
  if (!name.endsWith('.js')) continue;
  for (const found of readFileSync(join(DIST, name), 'utf8').matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g)) first.add(`assets/${found[1]}`);
}
for (const name of weights.keys()) if (/hyperlegible.*-latin-wght-normal/.test(name)) first.add(name);
const total = [...first].reduce((sum, name) => sum + (weights.get(name) ?? 0), 0);
for (const name of first) console.log(`${String(weights.get(name) ?? '?').padStart(8)}  ${name}`);
console.log(`first load: ${(total / 1024).toFixed(1)} KiB compressed (at most ${MOST / 1024})`);
if (total > MOST) process.exit(1);
