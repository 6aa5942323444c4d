// A server of its own for every test, and people who visit it. Whatever a page complains about fails
// the test: a console error (a hydration mismatch and a CSP violation are ones), an uncaught error, a
// request to another origin.
import { test as base, expect, type BrowserContextOptions, type Page } from '@playwright/test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Hubs, type Balancer } from './hubs.js';
import { Server, target } from './server.js';

export { Server };

/** Where Python's packages are: `cargo xtask test` installs them there, and says so if it can't. */
const installed = join(target, 'python');
export const python = process.env.HUBBUB_PYTHON ?? (existsSync(installed) ? installed : '');

/** How long a program may take to start, and to say its first words. */
export const STARTED = { timeout: 60_000 };

type Visit = BrowserContextOptions & {
  /** Complaints that this test provokes. */
  expected?: RegExp;
};

export type Options = {
  /** What two hubs are behind; without it there is one, alone. */
  balancer: Balancer | '';
};

type Fixtures = Options & {
  server: Server;
  /** Someone with a browser of their own, not yet on a page. */
  person: (visit?: Visit) => Promise<Page>;
};

export const test = base.extend<Fixtures>({
  balancer: ['', { option: true }],

  server: async ({ balancer }, use) => {
    const server = balancer ? new Hubs(balancer) : new Server();
    await server.start();
    await use(server);
    await server.end();
  },

  person: async ({ browser, server }, use) => {
    const complaints: string[] = [];
    const contexts: { close(): Promise<void> }[] = [];
    await use(async ({ expected, ...options } = {}) => {
      const context = await browser.newContext({
        baseURL: server.url('/'),
        locale: 'en-US',
        ...options,
      });
      contexts.push(context);
      const page = await context.newPage();
      const complain = (text: string) => {
        if (!expected?.test(text)) complaints.push(text);
      };
      page.on('pageerror', (error) => complain(`uncaught: ${error.message}`));
      page.on('console', (message) => {
        if (message.type() === 'error') complain(`console: ${message.text()}`);
      });
      page.on('request', (request) => {
        const { protocol, host } = new URL(request.url());
        if (protocol !== 'data:' && host !== server.address) complain(`request: ${request.url()}`);
      });
      return page;
    });
    for (const context of contexts) await context.close();
    expect(complaints).toEqual([]);
  },
});

export { expect };

/** Goes to a page and waits until it is alive. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await expect(page.locator('html[data-hydrated]')).toBeAttached();
  if (path.startsWith('/rooms/')) await isConnected(page);
}

/** How long a page may take to come back once the server is there again: between two tries it waits up to 30 s. */
export const AGAIN = { timeout: 60_000 };

export async function isConnected(page: Page, within?: { timeout: number }): Promise<void> {
  await expect(page.locator('[data-conn]')).toHaveAttribute('data-conn', 'open', within);
}

/** Writes a message and sends it with the Enter key. */
export async function say(page: Page, text: string): Promise<void> {
  await page.locator('textarea[name=message]').fill(text);
  await page.locator('textarea[name=message]').press('Enter');
}

/** Waits until the page has drawn, and so knows of all scrolling there was: the browser tells of that with the next frame. */
export const drawn = (page: Page) =>
  page.evaluate(() => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));

/** Lets nothing that this page asks for at such addresses through, or not so many, until what this returns is called. */
export async function hold(page: Page, addresses: string, times?: number): Promise<() => void> {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route(addresses, async (route) => {
    await held;
    await route.continue();
  }, { times });
  return release;
}

/** Has whatever waits for the page's next picture wait until what this returns is called. */
export async function holdPictures(page: Page): Promise<() => Promise<void>> {
  await page.evaluate(() => {
    const [held, request]: [FrameRequestCallback[], typeof requestAnimationFrame] = [[], requestAnimationFrame];
    window.requestAnimationFrame = (draw) => held.push(draw);
    const release = () => {
      window.requestAnimationFrame = request;
      held.forEach(request);
    };
    Object.assign(window, { release });
  });
  return () => page.evaluate(() => (window as unknown as { release: () => void }).release());
}

export function texts(page: Page) {
  return page.locator('.message .text');
}

/** Those that the server has taken: one's own are shown before. */
export function taken(page: Page) {
  return page.locator('.message[data-state=sent] .text');
}
