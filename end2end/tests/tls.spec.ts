// Over the hub's own TLS, which speaks HTTP/2: there a WebSocket is a stream of the page's own connection (RFC 8441).
import { test as base, expect, type Page } from '@playwright/test';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { isConnected, say, Server, texts } from './support.js';

const NAME = 'hub.example.org';

const test = base.extend<{ origin: string }>({
  origin: async ({}, use) => {
    const server = new Server();
    const [pem, key] = [join(server.dir, 'hub.pem'), join(server.dir, 'hub.key')];
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${NAME}`,
      '-keyout', key, '-out', pem,
    ], { stdio: 'ignore' });
    await server.start('--host', NAME, '--tls-cert', pem, '--tls-key', key);
    await use(`https://${NAME}:${server.address.split(':').pop()}`);
    await server.stop('SIGKILL');
    rmSync(server.dir, { recursive: true });
  },
});

test.use({ ignoreHTTPSErrors: true, launchOptions: async ({ launchOptions }, use) => {
  const args = [...(launchOptions.args ?? []), `--host-resolver-rules=MAP ${NAME} 127.0.0.1`];
  await use({ ...launchOptions, args });
} });

/** The statuses that WebSockets of this page are opened with: 101 by an upgrade, 200 over HTTP/2. */
async function openings(page: Page): Promise<number[]> {
  const statuses: number[] = [];
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  session.on('Network.webSocketHandshakeResponseReceived', ({ response }) => statuses.push(response.status));
  return statuses;
}

test('every road carries over HTTP/2', async ({ origin, page, context }) => {
  const statuses = await openings(page);
  await page.goto(`${origin}/rooms/tea`);
  await isConnected(page);
  const protocols = await page.evaluate(() =>
    performance.getEntries().flatMap((entry) => (entry as PerformanceResourceTiming).nextHopProtocol ?? []),
  );
  expect(new Set(protocols.filter(Boolean))).toEqual(new Set(['h2']));
  expect((await context.cookies()).map(({ name, secure }) => [name, secure])).toContainEqual(['__Host-hubbub', true]);
  const said: string[] = [];
  for (const road of ['websocket', 'sse', 'longpoll', 'poll']) {
    await page.locator('#open-inspector').click();
    await page.locator('#road').selectOption(road);
    await expect(page.locator('[data-road]')).toHaveAttribute('data-road', road);
    await isConnected(page);
    await page.locator('#open-inspector').click();
    await say(page, `by ${road}`);
    said.push(`by ${road}`);
    await expect(texts(page)).toHaveText(said);
    // Taken, not only shown.
    await expect(page.locator('.message:not([data-state=sent])')).toHaveCount(0);
  }
  expect(new Set(statuses)).toEqual(new Set([200]));
});

test('more streams and sockets than a browser has connections for carry at once', async ({ origin, page }) => {
  const statuses = await openings(page);
  await page.goto(`${origin}/healthz`);
  const heard = await page.evaluate(async () => {
    const socket = () => {
      const socket = new WebSocket(`wss://${location.host}/ws?room=tea&after=0`);
      return new Promise<string>((done, fail) => {
        socket.onmessage = ({ data }) => done(JSON.parse(data).params.value);
        socket.onclose = ({ code }) => fail(new Error(`closed with ${code}`));
      });
    };
    const events = () => {
      const source = new EventSource('/api/rooms/tea/events?after=0');
      return new Promise<string>((done) => {
        source.addEventListener('message', ({ data }) => done(JSON.parse(data).params.value));
      });
    };
    const hearing = [...Array(10)].flatMap(() => [socket(), events()]);
    const headers = { 'content-type': 'text/plain' };
    await fetch('/api/rooms/tea/messages', { method: 'POST', headers, body: 'to all' });
    return Promise.all(hearing);
  });
  expect(heard).toEqual(Array(20).fill('to all'));
  // They are told by another way than what the page returns.
  await expect.poll(() => statuses).toEqual(Array(10).fill(200));
});

test('the lab races there too, and shows no bytes, for the hub counts none', async ({ origin, page }) => {
  await page.goto(`${origin}/lab?roads=sse,websocket&n=4&rate=20`);
  await expect(page.locator('html[data-hydrated]')).toBeAttached();
  await page.getByRole('button', { name: 'Start' }).click();
  await expect(page.getByText('All roads are done.')).toBeVisible({ timeout: 120_000 });
  for (const road of ['sse', 'websocket']) {
    const [sent, lost, twice, ...rest] = await page.locator(`tr[data-road=${road}] td`).allInnerTexts();
    expect([sent, lost, twice]).toEqual(['4', '0', '0']);
    expect(rest).toContain('–');
  }
});
