// Being called while one looks elsewhere: in the tab at any time, outside of it only if one has asked for it.
import { expect, open, say, test } from './support.js';
import type { Page } from '@playwright/test';

/** Has the page think that nobody sees it, or that somebody does. */
async function look(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate((hidden) => {
    Object.defineProperty(document, 'visibilityState', { value: hidden ? 'hidden' : 'visible', configurable: true });
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  }, hidden);
}

test('only who is named, and has asked for it, is told outside the page', async ({ person }) => {
  const [ada, bob] = [await person({ permissions: ['notifications'] }), await person()];
  // What is shown is shown by the browser; the test only writes it down.
  await ada.addInitScript(() => {
    const shown: string[] = ((window as unknown as { shown: string[] }).shown = []);
    window.Notification = class extends Notification {
      constructor(title: string, options?: NotificationOptions) {
        super(title, options);
        shown.push(`${title}: ${options?.body}`);
      }
    };
    const heard: string[] = ((window as unknown as { heard: string[] }).heard = []);
    window.Audio = class extends Audio {
      constructor(source?: string) {
        super(source);
        this.addEventListener('playing', () => heard.push(source ?? ''));
      }
    };
  });
  const heard = () => ada.evaluate(() => (window as unknown as { heard: string[] }).heard);
  const shown = () => ada.evaluate(() => (window as unknown as { shown: string[] }).shown);
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await ada.locator('#first-name').fill('Ada');
  await ada.locator('#first-name').press('Enter');
  await expect(bob.locator('.members')).toContainText('Ada');
  await look(ada, true);
  await say(bob, '@Ada are you there?');
  await expect(ada).toHaveTitle('(1) tea — Hubbub');
  await expect(ada.locator('link[rel=icon]')).toHaveAttribute('href', /^\/pkg\/[0-9a-f]{16}\/favicon-unread\.svg$/);
  expect(await shown()).toEqual([]);

  await look(ada, false);
  await expect(ada).toHaveTitle('tea — Hubbub');
  await expect(ada.locator('link[rel=icon]')).toHaveAttribute('href', /^\/pkg\/[0-9a-f]{16}\/favicon\.svg$/);
  await ada.locator('#me').click();
  const box = ada.getByRole('checkbox', { name: 'Notify me' });
  await box.check();
  await expect(box).toBeChecked();
  // With a sound only if that is asked for as well, which lets one hear it.
  await ada.getByRole('checkbox', { name: 'With a sound' }).check();
  await expect.poll(heard).toEqual(['/notice.wav']);
  await ada.keyboard.press('Escape');
  await look(ada, true);
  await say(bob, 'nothing to see');
  await expect(ada).toHaveTitle('(1) tea — Hubbub');
  await say(bob, 'but you, @Ada!');
  await expect(ada).toHaveTitle('(2) tea — Hubbub');
  await expect.poll(shown).toHaveLength(1);
  expect((await shown())[0]).toMatch(/^guest-[\w-]+ — tea: but you, @Ada!$/);
  await expect.poll(heard).toEqual(['/notice.wav', '/notice.wav']);
  // It is remembered.
  await look(ada, false);
  await ada.reload();
  await ada.locator('#me').click();
  await expect(box).toBeChecked();
});

test('who is not allowed to is told so', async ({ person }) => {
  const ada = await person();
  await ada.addInitScript(() => {
    Notification.requestPermission = async () => 'denied';
  });
  await open(ada, '/rooms/tea');
  await ada.locator('#me').click();
  await ada.getByRole('checkbox', { name: 'Notify me' }).click();
  await expect(ada.getByText('The browser does not allow notifications.')).toBeVisible();
  await expect(ada.getByRole('checkbox', { name: 'Notify me' })).not.toBeChecked();
});

test('the page can be installed', async ({ person, server }) => {
  const ada = await person();
  await open(ada, '/');
  const href = await ada.locator('link[rel=manifest]').getAttribute('href');
  const address = server.url(href ?? '');
  const manifest = await (await fetch(address)).json();
  // It is the same under a path: all in it is beside it.
  expect(manifest).toMatchObject({ start_url: './', display: 'standalone' });
  for (const { src, sizes, type } of manifest.icons) {
    const answer = await fetch(new URL(src, address));
    expect(answer.headers.get('content-type')).toBe(type);
    if (type !== 'image/png') continue;
    // Width and height are in the first chunk (PNG, section 11.2.2).
    const bytes = new DataView(await answer.arrayBuffer());
    expect(`${bytes.getUint32(16)}x${bytes.getUint32(20)}`).toBe(sizes);
  }
  expect(manifest.icons.some((icon: { purpose?: string }) => icon.purpose === 'maskable')).toBe(true);
});

test('the inspector filters, stands still, and gives what it has', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await say(ada, 'find me');
  await ada.locator('#open-inspector').click();
  const events = ada.locator('#inspector .event');
  await ada.getByRole('searchbox', { name: 'Filter' }).fill('FIND ME');
  await expect(events).toHaveCount(2);
  await ada.getByRole('button', { name: 'Pause' }).click();
  await say(ada, 'find me again');
  await expect(ada.locator('.message[data-kept]')).toHaveCount(2);
  await expect(events).toHaveCount(2);
  await ada.getByRole('button', { name: 'Pause' }).click();
  await expect(events).toHaveCount(4);
  const download = ada.waitForEvent('download');
  await ada.getByRole('button', { name: 'Save as NDJSON' }).click();
  const stream = await (await download).createReadStream();
  let text = '';
  for await (const chunk of stream) text += chunk;
  const lines = text.trim().split('\n').map((line) => JSON.parse(line));
  expect(lines.map((line) => line.event)).toEqual(expect.arrayContaining(['send', 'message']));
  expect(lines.every((line) => line.frame.includes('find me'))).toBe(true);
});
