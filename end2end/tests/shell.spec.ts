// What is around the talk: on a phone, magnified, without scripts, and the first time.
import { expect, open, say, test, texts } from './support.js';

const PHONE = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true };

test('on a phone the people and all else lie behind two buttons, and half of the screen is for talk', async ({ person }) => {
  const [ada, bob] = [await person(PHONE), await person()];
  await open(bob, '/rooms/tea');
  await open(ada, '/rooms/tea');
  await say(bob, 'hello');
  const count = ada.locator('.here-count');
  await expect(count).toHaveAccessibleName('Here now: 2');
  await expect(ada.locator('.members')).toBeHidden();
  await count.click();
  await expect(ada.locator('.members li')).toHaveCount(2);
  // Writing to one of them closes the list, and goes on where one writes.
  await ada.locator('.members li', { hasNotText: 'you' }).getByRole('button').click();
  await expect(ada.locator('.members')).toBeHidden();
  await expect(ada.locator('#composer-text')).toBeFocused();
  await expect(ada.locator('.addressee')).toContainText('only to guest-');
  await count.click();
  await ada.keyboard.press('Escape');
  await expect(ada.locator('.members')).toBeHidden();
  await expect(count).toBeFocused();

  const menu = ada.getByRole('button', { name: 'Menu' });
  await expect(ada.locator('#open-inspector')).toBeHidden();
  await menu.click();
  await expect(ada.locator('.bar-menu')).toContainText('Search this room');
  await ada.locator('#open-inspector').click();
  await expect(ada.locator('.bar-menu')).toBeHidden();
  await expect(ada.locator('#inspector-title')).toBeFocused();
  // What opened it is out of sight again: what that lies behind has the focus.
  await ada.keyboard.press('Escape');
  await expect(menu).toBeFocused();

  const share = () =>
    ada.evaluate(() => document.getElementById('log')!.clientHeight / document.documentElement.clientHeight);
  await ada.getByRole('button', { name: 'Write to everyone again' }).click();
  expect(await share()).toBeGreaterThan(0.5);
  // Its keyboard takes half of it.
  await ada.setViewportSize({ width: 320, height: 330 });
  await expect(texts(ada)).toBeInViewport();
  expect(await share()).toBeGreaterThan(0.5);
});

test('what can be touched is large enough for a finger', async ({ person }) => {
  const ada = await person(PHONE);
  await open(ada, '/rooms/tea');
  await say(ada, 'hello');
  await ada.locator('.send').click();
  await ada.locator('.message .more').click();
  await expect(ada.locator('.tools')).toBeVisible();
  const small = () =>
    ada.evaluate(() => {
      const all = [...document.querySelectorAll<HTMLElement>('button, a, summary, input:not([type=hidden]), textarea')];
      const boxes = all.filter((one) => one.checkVisibility({ visibilityProperty: true })).map((one) => {
        const { width, height } = one.getBoundingClientRect();
        return [one.outerHTML.slice(0, 80), width, height] as const;
      });
      // WCAG 2.2, 2.5.8.
      return boxes.filter(([, width, height]) => width < 24 || height < 24);
    });
  expect(await small()).toEqual([]);
  await ada.locator('.here-count').click();
  expect(await small()).toEqual([]);
});

for (const path of ['/', '/rooms/tea', '/rooms/tea?q=hello', '/lab']) {
  test(`${path} at twice its size needs no scrolling sideways`, async ({ person }) => {
    // A window of 1280 by 800, magnified twice (WCAG 2.2, 1.4.4).
    const ada = await person({ viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 });
    await open(ada, '/rooms/tea');
    await say(ada, 'hello');
    await expect(ada.locator('.message[data-state=sent]')).toHaveCount(1);
    await ada.goto(path);
    const wide = await ada.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(wide).toBeLessThanOrEqual(0);
    if (path === '/rooms/tea') {
      await expect(texts(ada)).toBeInViewport();
      await expect(ada.locator('#composer-text')).toBeInViewport();
    }
  });
}

test('a name is asked for once, and nobody has to give one', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  const card = ada.locator('.first');
  const guest = await ada.locator('.me-name').innerText();
  await expect(card).toContainText(`you are ${guest}`);
  await say(ada, 'hello');
  await expect(card).toHaveCount(0);
  await expect(ada.locator('.author')).toHaveText(guest);
  await open(ada, '/rooms/coffee');
  await expect(card).toHaveCount(0);
});

test('a name that can not be is refused in words, and asked for again', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.locator('#first-name').fill('Ada\u200b');
  await ada.getByRole('button', { name: 'That’s me' }).click();
  await expect(ada.locator('#composer-problem')).not.toBeEmpty();
  await expect(ada.locator('.first')).toBeVisible();
  await ada.locator('#first-name').fill('Ada');
  await ada.locator('#first-name').press('Enter');
  await expect(ada.locator('#composer-problem')).toBeEmpty();
  await expect(ada.locator('.me-name')).toHaveText('Ada');
});

test('with its keyboard open a phone keeps the field for the name', async ({ person }) => {
  const ada = await person(PHONE);
  await open(ada, '/rooms/tea');
  await ada.locator('#first-name').click();
  await ada.setViewportSize({ width: 320, height: 330 });
  await ada.keyboard.type('Ada');
  await ada.keyboard.press('Enter');
  await expect(ada.locator('.me-name')).toHaveText('Ada');
});

test('the button of the card takes the name', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.getByLabel('What shall we call you?').fill('Ada');
  await ada.getByRole('button', { name: 'That’s me' }).click();
  await expect(ada.locator('.first')).toHaveCount(0);
  await expect(ada.locator('#composer-text')).toBeFocused();
  await expect(ada.locator('.me-name')).toHaveText('Ada');
});

test('the sheet of keys opens by mouse, at its beginning', async ({ person }) => {
  // As a wide screen is at 200 %.
  const ada = await person({ viewport: { width: 720, height: 450 } });
  await open(ada, '/rooms/tea');
  await ada.getByRole('button', { name: 'Keyboard' }).click();
  const title = ada.getByRole('dialog').getByRole('heading', { name: 'Keyboard' });
  await expect(title).toBeInViewport({ ratio: 1 });
  await ada.keyboard.press('Escape');
  await expect(title).toBeHidden();
});

test('an empty room is read from its beginning on a phone', async ({ person }) => {
  for (const javaScriptEnabled of [true, false]) {
    const ada = await person({ ...PHONE, javaScriptEnabled });
    await ada.goto('/rooms/nobody');
    await expect(ada.getByText('Nothing has been said here yet')).toBeInViewport({ ratio: 1 });
  }
});

test('without scripts a phone finds the people and the menu too', async ({ person }) => {
  const ada = await person({ ...PHONE, javaScriptEnabled: false });
  await ada.goto('/rooms/tea');
  await ada.getByRole('button', { name: 'Menu' }).click();
  await expect(ada.getByRole('link', { name: 'Search this room' })).toBeVisible();
  await ada.keyboard.press('Escape');
  await ada.locator('.here-count').click();
  await expect(ada.locator('.members')).toBeVisible();
});

test('a room is passed on by link, by a drawing, and by what the system has for that', async ({ person, server }) => {
  const ada = await person();
  // Chromium has it on phones alone.
  await ada.addInitScript(() => {
    const shared: unknown[] = [];
    Object.assign(window, { shared });
    Object.defineProperty(navigator, 'share', { value: async (what: unknown) => void shared.push(what) });
  });
  await open(ada, '/rooms/tea');
  await say(ada, 'hello');
  await ada.locator('.members').getByRole('button', { name: 'Invite people' }).click();
  const card = ada.locator('#invite');
  await expect(card.locator('code')).toHaveText(server.url('/rooms/tea'));
  await expect.poll(() => card.locator('img').evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBeGreaterThan(0);
  await card.getByRole('button', { name: 'Share…' }).click();
  expect(await ada.evaluate(() => (window as any).shared)).toEqual([
    { title: 'tea — Hubbub', url: server.url('/rooms/tea') },
  ]);
  await ada.keyboard.press('Escape');
  await expect(card).toBeHidden();
});
