// What a room's page costs: bytes, requests, nodes, and how long a key takes to be seen while others write. In a real
// browser, of one or several binaries: `cargo xtask bench page [PATH]…`.
import { chromium } from '@playwright/test';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** How many write. */
const AUTHORS = 3;
/** How many keys, and how long after one the next, in milliseconds. */
const KEYS = 80;
const PAUSE = 100;
/** How many messages they write a second; how much slower the browser is made than it is (CDP, `setCPUThrottlingRate`). */
const CASES = [
  { rate: 200, slow: 1 },
  { rate: 50, slow: 4 },
  { rate: 200, slow: 4 },
];

const executablePath =
  process.env.HUBBUB_CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** A hub in a directory of its own. */
async function start(server) {
  const dir = mkdtempSync(join(tmpdir(), 'hubbub-'));
  const child = spawn(server, ['--listen', '127.0.0.1:0', '--publish-rate', '0'], { cwd: dir });
  const origin = await new Promise((resolve, reject) => {
    let told = '';
    child.stdout.on('data', (data) => {
      told += data;
      const line = /^listening on (\S+)$/m.exec(told);
      if (line) resolve(line[1]);
    });
    child.on('exit', (code) => reject(new Error(`hubbub ended (${code}): ${told}`)));
  });
  const stop = () => {
    child.kill('SIGKILL');
    rmSync(dir, { recursive: true });
  };
  return { origin, stop };
}

/** Some who write, in turns. */
async function writers(origin) {
  const tokens = [];
  for (let n = 0; n < AUTHORS; n++) {
    tokens.push((await (await fetch(`${origin}/api/token`, { method: 'POST' })).json()).token);
  }
  let turn = 0;
  return async (what) => {
    const answer = await fetch(`${origin}/api/rooms/tea/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens[turn++ % AUTHORS]}` },
      body: JSON.stringify(what),
    });
    if (!answer.ok) throw new Error(await answer.text());
    await answer.arrayBuffer();
  };
}

const text = (n) => ({ value: `message ${n}, about as long as what people write` });

async function live(page) {
  await page.goto('/rooms/tea');
  await page.locator('[data-conn=open]').waitFor({ state: 'attached' });
}

/** What crossed the network for the page that is open (Resource Timing, `transferSize`), in bytes. */
const crossed = (page) =>
  page.evaluate(() => {
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const kinds = {};
    let [requests, bytes] = [0, 0];
    for (const { name, transferSize, entryType } of all) {
      if (transferSize === 0) continue;
      const kind = entryType === 'navigation' ? 'page' : new URL(name).pathname.split('.').pop();
      kinds[kind] = (kinds[kind] ?? 0) + transferSize;
      [requests, bytes] = [requests + 1, bytes + transferSize];
    }
    return { requests, bytes, kinds };
  });

const size = (page) =>
  page.evaluate(() => {
    const walker = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
    let nodes = 1;
    while (walker.nextNode()) nodes++;
    const rows = document.querySelectorAll('.message').length;
    return { rows, elements: document.querySelectorAll('*').length, nodes };
  });

/**
 * From a key until the next picture is drawn, in milliseconds: the middle and the 95th percentile. `done` is called when the
 * last is pressed.
 */
async function keys(page, slow, done) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Emulation.setCPUThrottlingRate', { rate: slow });
  await page.evaluate(() => {
    const took = (window.took = []);
    const pressed = ({ timeStamp }) =>
      requestAnimationFrame(() => {
        // As soon as it is drawn: before whatever else has come meanwhile.
        const seen = () => took.push(performance.now() - timeStamp);
        void scheduler.postTask(seen, { priority: 'user-blocking' });
      });
    addEventListener('keydown', pressed, true);
  });
  await page.locator('#composer-text').focus();
  for (let n = 0; n < KEYS; n++) {
    await page.keyboard.press('abcdefghij'[n % 10]);
    await page.waitForTimeout(PAUSE);
  }
  done();
  await page.waitForFunction((count) => window.took.length === count, KEYS);
  const took = (await page.evaluate(() => window.took)).sort((a, b) => a - b);
  await cdp.send('Emulation.setCPUThrottlingRate', { rate: 1 });
  const at = (share) => Math.round(took[Math.floor((took.length - 1) * share)]);
  return { p50: at(0.5), p95: at(0.95) };
}

async function measure(server) {
  const { origin, stop } = await start(server);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const visitor = async () => {
    const context = await browser.newContext({ baseURL: origin, viewport: { width: 1280, height: 800 } });
    return context.newPage();
  };
  try {
    const write = await writers(origin);
    await write(Array.from({ length: 50 }, (_, n) => text(n)));
    const page = await visitor();
    await live(page);
    const first = { ...(await crossed(page)), ...(await size(page)) };
    await live(page);
    const second = await crossed(page);
    // As many as are kept on a page that is open, and more.
    for (let n = 50; n < 550; n += 50) await write(Array.from({ length: 50 }, (_, more) => text(n + more)));
    await page.waitForFunction(() => document.querySelector('.messages')?.textContent?.includes('message 549,'));
    // The rest of the list is drawn when it is calm.
    await page.waitForTimeout(4_000);
    const full = await size(page);
    await page.close();
    const seen = [];
    for (const { rate, slow } of CASES) {
      const watcher = await visitor();
      watcher.setDefaultTimeout(120_000);
      await live(watcher);
      let n = 0;
      const timer = setInterval(() => void write(text(n++)), 1000 / rate);
      await watcher.waitForTimeout(2_000);
      seen.push({ rate, slow, ...(await keys(watcher, slow, () => clearInterval(timer))) });
      await watcher.close();
    }
    return { server, first, second, full, keys: seen };
  } finally {
    await browser.close();
    stop();
  }
}

for (const server of process.argv.slice(2).map((path) => resolve(path))) {
  const { first, second, full, keys } = await measure(server);
  const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const kinds = Object.entries(first.kinds).sort(([, a], [, b]) => b - a);
  console.log(`\n${server}`);
  console.log(`first visit   ${first.requests} requests, ${kB(first.bytes)}: ${kinds.map(([kind, bytes]) => `${kind} ${kB(bytes)}`).join(', ')}`);
  console.log(`              ${first.rows} messages: ${first.elements} elements, ${first.nodes} nodes`);
  console.log(`second visit  ${second.requests} requests, ${kB(second.bytes)}`);
  console.log(`550 messages  ${full.rows} of them on the page: ${full.elements} elements, ${full.nodes} nodes`);
  for (const { rate, slow, p50, p95 } of keys) {
    console.log(`a key         while ${rate} messages a second come, ${slow === 1 ? 'as fast as this machine' : `${slow} times slower`}: p50 ${p50} ms, p95 ${p95} ms`);
  }
}
process.exit();
