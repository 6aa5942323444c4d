// Behind nginx, HAProxy and Caddy: as docs/operating.md has them, and as one would begin.
import { test as base, expect, type Page } from '@playwright/test';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectSecurely } from 'node:tls';
import { freePort } from './hubs.js';
import { isConnected, say, Server, taken, texts } from './support.js';

const NAME = 'hub.example.org';
const TOLD = ['--host', NAME, '--trusted-proxy', '127.0.0.1'];

/** What is replaced in a configuration, by what. */
type Edit = [from: string | RegExp, to: string];

type Proxy = {
  name: string;
  /** Empty where there is none. */
  program: string;
  /** What its block in docs/operating.md is fenced as. */
  language: string;
  /** The least that one would write. */
  bare: string;
  listen: (scheme: string, port: number) => Edit;
  withoutTls: Edit[];
  underHub: Edit[];
  /** After those: /hub is left out of what is passed on. */
  leavingOut: Edit[];
  /** Its file, with all that is not the site's. */
  file: (site: string, dir: string) => string;
  arguments: (file: string) => string[];
};

/** The program that is named, or is in one of its places. */
function found(named: string | undefined, ...places: string[]): string {
  return named ?? places.find(existsSync) ?? '';
}

const proxies: Proxy[] = [
  {
    name: 'nginx',
    program: found(process.env.HUBBUB_NGINX, '/usr/sbin/nginx'),
    language: 'nginx',
    bare: `server { listen 443 ssl; ssl_certificate /etc/ssl/${NAME}.pem; ssl_certificate_key /etc/ssl/${NAME}.key;
      location / { proxy_pass http://127.0.0.1:3000; } }`,
    listen: (_, port) => ['listen 443', `listen 127.0.0.1:${port}`],
    withoutTls: [[' ssl http2;', ';']],
    underHub: [['location / {', 'location / { return 404; }\n  location /hub/ {'], ['^/api/', '^/hub/api/']],
    leavingOut: [['proxy_pass http://hubbub;', 'proxy_pass http://hubbub/;']],
    file: (site, dir) => {
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${dir}/${one};`);
      return `daemon off; master_process off; pid ${dir}/pid; error_log stderr;
        events { worker_connections 256; }
        http { access_log off; ${temporary.join(' ')} ${site} }`;
    },
    arguments: (file) => ['-c', file, '-e', 'stderr'],
  },
  {
    name: 'HAProxy',
    program: found(process.env.HUBBUB_HAPROXY, '/usr/sbin/haproxy'),
    language: 'haproxy',
    bare: `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend site
  bind :443 ssl crt /etc/ssl/${NAME}.pem
  default_backend hubbub
backend hubbub
  server hubbub 127.0.0.1:3000
`,
    listen: (_, port) => ['bind :443', `bind 127.0.0.1:${port}`],
    withoutTls: [[/ ssl crt .*/, '']],
    underHub: [['default_backend hubbub', 'use_backend hubbub if { path_beg /hub/ }'], ['^/api/', '^/hub/api/']],
    leavingOut: [[/^backend hubbub\n/m, '$&  http-request replace-path ^/hub(/.*) \\1\n']],
    file: (site) => `global\n  maxconn 256\n${site}`,
    arguments: (file) => ['-f', file, '-db'],
  },
  {
    name: 'Caddy',
    program: found(process.env.HUBBUB_CADDY, '/usr/bin/caddy'),
    language: 'caddyfile',
    bare: `${NAME} {\n  reverse_proxy 127.0.0.1:3000\n}\n`,
    listen: (scheme, port) => [`${NAME} {`, `${scheme}://${NAME}:${port} {`],
    withoutTls: [],
    underHub: [['reverse_proxy ', 'reverse_proxy /hub/* '], [' /api/', ' /hub/api/']],
    leavingOut: [[/reverse_proxy \/hub\/\* ([^]*?\n\t\})/, 'handle_path /hub/* {\n\treverse_proxy $1\n\t}']],
    // Nobody out there is asked for a certificate.
    file: (site) => `{
      admin off
      default_bind 127.0.0.1
      auto_https disable_redirects
      local_certs
      skip_install_trust
    }
    ${site}`,
    arguments: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
  },
];

function edited(text: string, ...edits: Edit[]): string {
  for (const [from, to] of edits) {
    expect(text).toMatch(from);
    text = text.replace(from, to);
  }
  return text;
}

/** What docs/operating.md prints. */
function documented({ language }: Proxy): string {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operating.md'), 'utf8');
  return new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(page)![1];
}

/** Whether somebody takes a connection there. */
async function answers(scheme: string, port: number): Promise<boolean> {
  const place = { host: '127.0.0.1', port };
  const socket =
    scheme === 'https' ? connectSecurely({ ...place, servername: NAME, rejectUnauthorized: false }) : connect(place);
  const answered = await new Promise<boolean>((done) => {
    socket.once(scheme === 'https' ? 'secureConnect' : 'connect', () => done(true));
    socket.once('error', () => done(false));
  });
  socket.destroy();
  return answered;
}

type Fixtures = {
  server: Server;
  /** A proxy with this configuration, in which the server, the port and the certificate are those of this test; and where it is. */
  front: (proxy: Proxy, site: string, scheme?: string) => Promise<string>;
};

const test = base.extend<Fixtures>({
  server: async ({}, use) => {
    const server = new Server();
    await server.start(...TOLD);
    await use(server);
    await server.end();
  },

  front: async ({ server }, use) => {
    let stop = async () => {};
    await use(async (proxy, site, scheme = 'https') => {
      const { dir } = server;
      const [pem, key] = [join(dir, `${NAME}.pem`), join(dir, `${NAME}.key`)];
      execFileSync('openssl', [
        'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${NAME}`,
        '-keyout', key, '-out', pem,
      ], { stdio: 'ignore' });
      writeFileSync(pem, readFileSync(key), { flag: 'a' });
      const port = await freePort();
      const here = edited(site, proxy.listen(scheme, port))
        .replaceAll('127.0.0.1:3000', server.address)
        .replaceAll('/etc/ssl/', `${dir}/`);
      const file = join(dir, 'proxy.conf');
      writeFileSync(file, proxy.file(here, dir));
      // Caddy keeps its certificates at home.
      const child = spawn(proxy.program, proxy.arguments(file), { cwd: dir, env: { ...process.env, HOME: dir } });
      let printed = '';
      child.stdout.on('data', (data) => (printed += data));
      child.stderr.on('data', (data) => (printed += data));
      const ended = new Promise<void>((done) => child.once('close', () => done()));
      stop = async () => {
        child.kill('SIGKILL');
        await ended;
      };
      let hasEnded = false;
      void ended.then(() => (hasEnded = true));
      while (!(await answers(scheme, port))) {
        if (hasEnded) throw new Error(`${proxy.name} ended: ${printed}`);
        await new Promise((done) => setTimeout(done, 50));
      }
      return `${scheme}://${NAME}:${port}`;
    });
    await stop();
  },
});

test.use({ ignoreHTTPSErrors: true, launchOptions: async ({ launchOptions }, use) => {
  const args = [...(launchOptions.args ?? []), `--host-resolver-rules=MAP ${NAME} 127.0.0.1`];
  await use({ ...launchOptions, args });
} });

/** Has the page use this way, as its person could. */
async function by(page: Page, road: string): Promise<void> {
  await page.locator('#open-inspector').click();
  await page.locator('#road').selectOption(road);
  await expect(page.locator('[data-road]')).toHaveAttribute('data-road', road);
  await isConnected(page);
  await page.locator('#open-inspector').click();
}

for (const proxy of proxies) {
  test.describe(`behind ${proxy.name}`, () => {
    test.skip(!proxy.program, `there is no ${proxy.name} here`);

    for (const scheme of ['https', 'http']) {
      test(`as documented every road carries under one name, over ${scheme}`, async ({ front, page, context }) => {
        const isSecure = scheme === 'https';
        const site = edited(documented(proxy), ...(isSecure ? [] : proxy.withoutTls));
        const origin = await front(proxy, site, scheme);
        await page.goto(`${origin}/rooms/tea`);
        await isConnected(page);
        const protocol = await page.evaluate(
          () => (performance.getEntriesByType('navigation')[0] as PerformanceNavigationTiming).nextHopProtocol,
        );
        expect(protocol).toBe(isSecure ? 'h2' : 'http/1.1');
        const cookies = (await context.cookies()).map(({ name, secure }) => [name, secure]);
        expect(cookies).toContainEqual(isSecure ? ['__Host-hubbub', true] : ['hubbub', false]);
        const said: string[] = [];
        for (const road of ['websocket', 'sse', 'longpoll', 'poll']) {
          await by(page, road);
          await say(page, `by ${road}`);
          said.push(`by ${road}`);
          await expect(texts(page)).toHaveText(said);
          // Taken, not only shown.
          await expect(page.locator('.message:not([data-state=sent])')).toHaveCount(0);
        }
      });
    }

    test('an event stream comes back by itself while the server restarts', async ({ server, front, page }) => {
      const origin = await front(proxy, documented(proxy));
      await page.goto(origin);
      const room = `/api/rooms/${encodeURIComponent('차 한 잔')}`;
      await page.evaluate((room) => {
        const source = new EventSource(`${room}/events?after=0`);
        const heard: string[] = [];
        source.addEventListener('message', (event) => heard.push(JSON.parse(event.data).params.value));
        const errors: string[] = [];
        source.addEventListener('error', () => errors.push('error'));
        Object.assign(window, { source, heard, errors });
      }, room);
      const heard = () => page.evaluate(() => (window as unknown as { heard: string[] }).heard);
      const post = (text: string) =>
        fetch(server.url(`${room}/messages`), { method: 'POST', headers: { 'content-type': 'text/plain' }, body: text });
      await post('before');
      await expect.poll(heard).toEqual(['before']);
      await server.stop('SIGKILL');
      // Once it was cut off, and then it has met the proxy alone, twice.
      const errors = () => page.evaluate(() => (window as unknown as { errors: string[] }).errors.length);
      await expect.poll(errors, { timeout: 15_000 }).toBeGreaterThanOrEqual(3);
      expect(await page.evaluate(() => (window as unknown as { source: EventSource }).source.readyState)).not.toBe(2);
      await server.start(...TOLD);
      await post('after');
      await expect.poll(heard, { timeout: 15_000 }).toEqual(['before', 'after']);
    });

    test('with the least configuration a page may write, and finds a way that carries', async ({ server, front, page }) => {
      const origin = await front(proxy, proxy.bare);
      // The port is this test's own: it is told as browsers show it.
      await server.stop();
      await server.start('--host', new URL(origin).host, '--trusted-proxy', '127.0.0.1');
      await page.goto(`${origin}/rooms/tea`);
      await isConnected(page);
      await say(page, 'through');
      await expect(taken(page)).toHaveText(['through']);
    });

    for (const what of ['leaves it out', 'passes it on']) {
      test(`under a path of its own, which the proxy ${what}`, async ({ server, front, page }) => {
        await server.stop();
        await server.start(...TOLD, '--base-path', '/hub');
        const leavingOut = what === 'leaves it out' ? proxy.leavingOut : [];
        const origin = await front(proxy, edited(documented(proxy), ...proxy.underHub, ...leavingOut));
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
        await expect(taken(page)).toHaveText(['down here']);
        for (const road of ['sse', 'longpoll']) {
          await by(page, road);
          await say(page, road);
          await expect(taken(page).last()).toHaveText(road);
        }
        const statuses = await page.evaluate(async () => {
          const address = document.querySelector<HTMLLinkElement>('link[rel=manifest]')!.href;
          const { icons } = await (await fetch(address)).json();
          const fetched = icons.map(async ({ src }: { src: string }) => (await fetch(new URL(src, address))).status);
          return Promise.all(fetched);
        });
        expect(statuses).toEqual([200, 200, 200, 200]);
        expect(missing).toEqual([]);
        await server.stop('SIGKILL');
        const met = await page.evaluate(async () => {
          const { status, headers } = await fetch('/hub/api/rooms/tea/events');
          return [status, headers.get('content-type')];
        });
        expect(met).toEqual([200, 'text/event-stream']);
      });
    }
  });
}
