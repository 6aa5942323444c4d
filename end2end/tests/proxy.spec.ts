// Behind nginx: as docs/operating.md has it, with TLS, and as one would begin.
import { test as base, expect, type Page } from '@playwright/test';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { isConnected, say, Server, texts } from './support.js';

const nginx = process.env.HUBBUB_NGINX ?? ['/usr/sbin/nginx'].find(existsSync) ?? '';
const NAME = 'hub.example.org';

const test = base.extend<{ server: Server }>({
  server: async ({}, use) => {
    const server = new Server();
    await server.start('--host', NAME, '--trusted-proxy', '127.0.0.1');
    await use(server);
    await server.stop('SIGKILL');
  },
});

test.skip(!nginx, 'there is no nginx here');
test.use({ ignoreHTTPSErrors: true, launchOptions: async ({ launchOptions }, use) => {
  const args = [...(launchOptions.args ?? []), `--host-resolver-rules=MAP ${NAME} 127.0.0.1`];
  await use({ ...launchOptions, args });
} });

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** What docs/operating.md prints. */
function documented(): string {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operating.md'), 'utf8');
  return /```nginx\n([^]*?)```/.exec(page)![1];
}

/** nginx with this configuration, in which the server and the port are those of this test; ended by `stop`. */
async function front(server: Server, http: string): Promise<{ origin: string; stop: () => void }> {
  const dir = join(server.dir, 'nginx');
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const [pem, key] = [join(dir, 'hub.pem'), join(dir, 'hub.key')];
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${NAME}`,
    '-keyout', key, '-out', pem,
  ], { stdio: 'ignore' });
  const site = http
    .replaceAll('127.0.0.1:3000', server.address)
    .replaceAll('listen 443', `listen 127.0.0.1:${port}`)
    .replaceAll(`/etc/ssl/${NAME}.pem`, pem)
    .replaceAll(`/etc/ssl/${NAME}.key`, key);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${dir}/${one};`);
  const log = join(dir, 'error.log');
  writeFileSync(join(dir, 'nginx.conf'), `
    daemon off; pid ${dir}/pid; error_log ${log}; worker_processes 1;
    events { worker_connections 256; }
    http { access_log off; ${temporary.join(' ')} ${site} }`);
  const child: ChildProcess = spawn(nginx, ['-c', join(dir, 'nginx.conf'), '-p', dir, '-e', log]);
  const ended = new Promise<never>((_, failed) =>
    child.on('exit', () => failed(new Error(`nginx ended: ${readFileSync(log, 'utf8')}`))),
  );
  const there = async () => {
    for (;;) {
      try {
        await fetch(`http://127.0.0.1:${port}/healthz`);
        return;
      } catch {
        await new Promise((done) => setTimeout(done, 50));
      }
    }
  };
  await Promise.race([ended, there()]);
  ended.catch(() => {});
  return { origin: `https://${NAME}:${port}`, stop: () => child.kill() };
}

/** Has the page use this way, as its person could. */
async function by(page: Page, road: string): Promise<void> {
  await page.locator('#open-inspector').click();
  await page.locator('#road').selectOption(road);
  await expect(page.locator('[data-road]')).toHaveAttribute('data-road', road);
  await isConnected(page);
  await page.locator('#open-inspector').click();
}

test('behind nginx as documented every road carries, over TLS, under one name', async ({ server, page, context }) => {
  const { origin, stop } = await front(server, documented());
  await page.goto(`${origin}/rooms/tea`);
  await isConnected(page);
  const cookie = (await context.cookies()).find((one) => one.name === '__Host-hubbub');
  expect(cookie?.secure).toBe(true);
  const said: string[] = [];
  for (const road of ['websocket', 'sse', 'longpoll', 'poll']) {
    await by(page, road);
    await say(page, `by ${road}`);
    said.push(`by ${road}`);
    await expect(texts(page)).toHaveText(said);
    // Taken, not only shown.
    await expect(page.locator('.message.pending')).toHaveCount(0);
  }
  stop();
});

test('an event stream comes back by itself while the server restarts behind nginx', async ({ server, page }) => {
  const { origin, stop } = await front(server, documented());
  await page.goto(origin);
  await page.evaluate(() => {
    const source = new EventSource('/api/rooms/tea/events?after=0');
    const heard: string[] = [];
    source.addEventListener('message', (event) => heard.push(JSON.parse(event.data).params.value));
    const errors: string[] = [];
    source.addEventListener('error', () => errors.push('error'));
    Object.assign(window, { source, heard, errors });
  });
  const heard = () => page.evaluate(() => (window as unknown as { heard: string[] }).heard);
  const post = (text: string) =>
    fetch(`http://${server.address}/api/rooms/tea/messages`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: text });
  await post('before');
  await expect.poll(heard).toEqual(['before']);
  await server.stop('SIGKILL');
  // Once it was cut off, and then it has met nginx alone, twice.
  const errors = () => page.evaluate(() => (window as unknown as { errors: string[] }).errors.length);
  await expect.poll(errors, { timeout: 15_000 }).toBeGreaterThanOrEqual(3);
  expect(await page.evaluate(() => (window as unknown as { source: EventSource }).source.readyState)).not.toBe(2);
  await server.start('--host', NAME, '--trusted-proxy', '127.0.0.1');
  await post('after');
  await expect.poll(heard, { timeout: 15_000 }).toEqual(['before', 'after']);
  stop();
});

test('behind a bare proxy_pass a page may write, and finds a way that carries', async ({ server, page }) => {
  const bare = `server { listen 443 ssl; ssl_certificate /etc/ssl/${NAME}.pem; ssl_certificate_key /etc/ssl/${NAME}.key;
    location / { proxy_pass http://127.0.0.1:3000; } }`;
  const { origin, stop } = await front(server, bare);
  // The port is this test's own: it is told as browsers show it.
  await server.stop();
  await server.start('--host', new URL(origin).host, '--trusted-proxy', '127.0.0.1');
  await page.goto(`${origin}/rooms/tea`);
  await isConnected(page);
  await say(page, 'through');
  await expect(page.locator('.message:not(.pending) .text')).toHaveText(['through']);
  stop();
});

for (const [what, to] of [['leaves it out', '/'], ['passes it on', '/hub/']] as const) {
  test(`under a path of its own, which the proxy ${what}`, async ({ server, page }) => {
    await server.stop();
    await server.start('--host', NAME, '--trusted-proxy', '127.0.0.1', '--base-path', '/hub');
    const site = documented()
      .replace('location / {', 'location / { return 404; }\n  location /hub/ {')
      .replace(/proxy_pass http:\/\/hubbub;/, `proxy_pass http://hubbub${to};`)
      .replace(/location ~ [^]*?\n {2}\}/, '');
    const { origin, stop } = await front(server, site);
    for (const path of ['/hub/', '/hub/rooms/tea', '/hub/rooms/tea?q=x', '/hub/lab', '/hub/rooms/a%2Fb']) {
      const html = await (await page.goto(origin + path))!.text();
      const links = [...html.matchAll(/(?:href|src|action)="(\/[^"]*)"|import\("(\/[^"]*)"\)/g)].map((found) => found[1] ?? found[2]);
      expect(links.filter((link) => !link.startsWith('/hub/')), path).toEqual([]);
      expect(links.length, path).toBeGreaterThan(4);
    }
    const missing: string[] = [];
    page.on('response', (response) => {
      if (response.status() >= 400) missing.push(response.url());
    });
    await page.goto(`${origin}/hub/`);
    await page.locator('.open-room input').first().fill('tea');
    await page.locator('.open-room button').first().click();
    await expect(page).toHaveURL(`${origin}/hub/rooms/tea`);
    await isConnected(page);
    await say(page, 'down here');
    await expect(page.locator('.message:not(.pending) .text')).toHaveText(['down here']);
    for (const road of ['sse', 'longpoll']) {
      await by(page, road);
      await say(page, road);
      await expect(page.locator('.message:not(.pending) .text').last()).toHaveText(road);
    }
    const statuses = await page.evaluate(async () => {
      const address = document.querySelector<HTMLLinkElement>('link[rel=manifest]')!.href;
      const { icons } = await (await fetch(address)).json();
      const fetched = icons.map(async ({ src }: { src: string }) => (await fetch(new URL(src, address))).status);
      return Promise.all(fetched);
    });
    expect(statuses).toEqual([200, 200, 200, 200]);
    expect(missing).toEqual([]);
    stop();
  });
}
