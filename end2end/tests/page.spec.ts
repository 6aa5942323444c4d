// The page itself: without JavaScript, in both languages, for everyone, from one file.
import { AxeBuilder } from '@axe-core/playwright';
import { AGAIN, expect, isConnected, open, say, test, texts } from './support.js';

test('without JavaScript: read, post, read', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await say(ada, 'from a live page');
  await expect(ada.locator('.message[data-state=sent]')).toHaveCount(1);

  const bob = await person({ javaScriptEnabled: false });
  await bob.goto('/');
  await bob.getByRole('link', { name: /tea/ }).click();
  await expect(texts(bob)).toHaveText(['from a live page']);
  await expect(bob.locator('.no-script')).toBeVisible();
  await bob.locator('#first-name').fill('Bob');
  await bob.locator('textarea').fill('two\nlines');
  await bob.getByRole('button', { name: 'Send' }).click();
  await expect(bob).toHaveURL(/\/rooms\/tea$/);
  await expect(texts(bob)).toHaveText(['from a live page', 'two\nlines']);
  await expect(bob.locator('.author').last()).toHaveText('Bob');
  await expect(texts(ada)).toHaveText(['from a live page', 'two\nlines']);
});

test('without JavaScript: a refused text comes back with the reason', async ({ person }) => {
  const bob = await person({ javaScriptEnabled: false, expected: /413/ });
  await bob.goto('/rooms/tea');
  const long = `</textarea>${'x'.repeat(17_000)}`;
  await bob.locator('textarea').fill(long);
  await bob.getByRole('button', { name: 'Send' }).click();
  await expect(bob.locator('#composer-problem')).toHaveText(/at most 16384 bytes/);
  await expect(bob.locator('textarea')).toHaveValue(long);
});

test('home lists rooms and opens one by name', async ({ person }) => {
  const ada = await person();
  await open(ada, '/');
  await expect(ada).toHaveTitle('Hubbub — Rooms');
  await ada.getByLabel('Open a room').fill('차 한잔');
  await ada.getByRole('button', { name: 'Open' }).click();
  await expect(ada.locator('h1')).toHaveText('차 한잔');
  await expect(ada).toHaveTitle('차 한잔 — Hubbub');
  await isConnected(ada);
  await ada.goto('/');
  await expect(ada.locator('.room-card', { hasText: '차 한잔' })).toBeVisible();
});

test('an unknown page says so', async ({ person }) => {
  const ada = await person({ expected: /404/ });
  const response = await ada.goto('/nowhere');
  expect(response?.status()).toBe(404);
  await expect(ada.getByRole('heading', { name: 'There is nothing here' })).toBeVisible();
});

test('language and appearance are chosen and kept', async ({ person }) => {
  const ada = await person({ locale: 'ko-KR' });
  await open(ada, '/rooms/tea');
  await expect(ada.locator('html')).toHaveAttribute('lang', 'ko');
  await ada.locator('textarea').fill('쓰던 글');
  await ada.getByRole('button', { name: 'View in English' }).click();
  await expect(ada.locator('html')).toHaveAttribute('lang', 'en');
  await isConnected(ada);
  await expect(ada.locator('textarea')).toHaveValue('쓰던 글');
  for (const [label, theme] of [['same as your system', 'light'], ['light', 'dark']]) {
    await ada.getByRole('button', { name: `Appearance: ${label}` }).click();
    await expect(ada.locator('html')).toHaveAttribute('data-theme', theme);
  }
  await ada.goto('/');
  await expect(ada.locator('html')).toHaveAttribute('data-theme', 'dark');
});

test('nothing in a Korean page is left in English', async ({ person }) => {
  const ada = await person({ locale: 'ko-KR', expected: /404/ });
  for (const path of ['/', '/rooms/차', '/lab', '/nowhere']) {
    await ada.goto(path);
    if (path !== '/nowhere') await expect(ada.locator('html[data-hydrated]')).toBeAttached();
    if (path.startsWith('/rooms')) {
      await ada.locator('#open-inspector').click();
      await ada.locator('.me summary').click();
    }
    const words = await ada.evaluate(() => {
      const own = '.wordmark, .me-name, .member-name, .avatar, .event, .states, dt, [lang=en], [translate=no], noscript, script, style';
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const found: string[] = [];
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        // Names are the same in every language.
        const text = (node.textContent ?? '').replace(/guest-[a-z]+|WebRTC|Server-Sent Events|JSON|HTTP|POST|TURN|Chromium/g, '');
        if (/[A-Za-z]{4,}/.test(text) && !node.parentElement?.closest(own)) found.push(text);
      }
      return found.filter((text) => !/^(Enter|JavaScript)/.test(text));
    });
    expect(words, path).toEqual([]);
  }
});

for (const width of [320, 768, 1440]) {
  for (const locale of ['en-US', 'ko-KR']) {
    for (const colorScheme of ['light', 'dark'] as const) {
      test(`fits ${width} px, ${locale}, ${colorScheme}, without barriers`, async ({ person }) => {
        const ada = await person({ locale, colorScheme, viewport: { width, height: 700 } });
        await open(ada, '/');
        await check(ada);
        await ada.goto('/lab?n=x&block=websocket&with=ab12');
        await expect(ada.locator('html[data-hydrated]')).toBeAttached();
        await check(ada);
        await open(ada, '/rooms/tea');
        await say(ada, 'a word that is '.repeat(20) + 'x'.repeat(200));
        await expect(ada.locator('.message[data-state=sent]')).toHaveCount(1);
        await check(ada);
        // Where there is little room, the people and all else lie behind two buttons.
        for (const [selector, below] of [['.here-count', 896], ['.open-menu', 640]] as const) {
          await expect(ada.locator(selector)).toBeVisible({ visible: width < below });
          if (width >= below) continue;
          await ada.locator(selector).click();
          await check(ada);
          if (await ada.locator('.members').isVisible()) await ada.keyboard.press('Escape');
        }
        await ada.locator('#open-inspector').click();
        await expect(ada.locator('#inspector')).toBeVisible();
        await check(ada);
      });
    }
  }
}

async function check(page: import('@playwright/test').Page) {
  const wider = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(wider, 'no sideways scrolling').toBeLessThanOrEqual(0);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)])).toEqual([]);
}

test('everything can be done by keyboard', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  const tabTo = async (selector: string) => {
    for (let n = 0; n < 30; n++) {
      if (await ada.locator(selector).evaluate((element) => element === document.activeElement)) return;
      await ada.keyboard.press('Tab');
    }
    throw new Error(`${selector} can't be reached`);
  };
  await tabTo('#open-inspector');
  await ada.keyboard.press('Enter');
  await expect(ada.locator('#inspector-title')).toBeFocused();
  await ada.keyboard.press('Escape');
  await expect(ada.locator('#open-inspector')).toBeFocused();
  await tabTo('textarea');
  await ada.keyboard.type('by hand');
  await ada.keyboard.press('Shift+Enter');
  await ada.keyboard.type('and more');
  await ada.keyboard.press('Enter');
  await expect(texts(ada)).toHaveText(['by hand\nand more']);
});

test('screen readers are told what others say, not what I say', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  const announcer = ada.locator('.log-frame [role=status]');
  await expect(ada.locator('[role=log]')).toHaveAttribute('aria-live', 'off');
  await say(ada, 'mine');
  await say(bob, 'theirs');
  await expect(announcer).toHaveText(/^guest-[\w-]+: theirs$/);
});

test('a Hangul syllable that is still composing is sent whole, once, by one Enter', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.locator('textarea').focus();
  const input = await ada.context().newCDPSession(ada);
  for (const text of ['안녕하세ㅇ', '안녕하세요']) {
    await input.send('Input.imeSetComposition', { text, selectionStart: 5, selectionEnd: 5 });
  }
  // What Chrome sends for this Enter: the key press taken by the input method, then its commit.
  await ada.locator('textarea').evaluate((field) => {
    const press = { key: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true };
    field.dispatchEvent(new KeyboardEvent('keydown', press));
  });
  await input.send('Input.insertText', { text: '안녕하세요' });
  await expect(texts(ada)).toHaveText(['안녕하세요']);
  await expect(ada.locator('textarea')).toHaveValue('');
});

test('the inspector tells every event, the ready state and the bytes', async ({ person, server }) => {
  const ada = await person({ expected: /WebSocket connection .* failed|ERR_CONNECTION_REFUSED/ });
  await open(ada, '/rooms/tea');
  await ada.locator('#open-inspector').click();
  const state = ada.locator('.states [aria-current]');
  const event = (name: string) => ada.locator(`.event[data-event=${name}]`);
  await expect(state).toHaveText('OPEN 1');
  await expect(event('open')).toContainText('hubbub.v1');
  await say(ada, 'hi');
  await expect(event('send').first()).toContainText('"value":"hi"');
  await expect(event('message').first()).toContainText('"type":"');
  const bytes = (which: string) => ada.locator(`[data-fact=bytes-${which}]`).innerText().then(Number);
  expect(await bytes('in')).toBeGreaterThan(100);
  expect(await bytes('out')).toBeGreaterThan(40);
  await server.stop();
  await expect(event('close').last()).toContainText('1012');
  await expect(event('close').last()).toContainText('wasClean=true');
  await expect(event('close').first()).toContainText('1006');
  await expect(event('error').first()).toBeVisible();
  await server.start();
  await expect(state).toHaveText('OPEN 1', AGAIN);
});

test('the binary alone serves the page and its wasm, compressed, and not twice', async ({ person, server }) => {
  const ada = await person({ expected: /404/ });
  const loaded = () =>
    ada.evaluate(() => {
      const all = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
      // The icon comes when the browser likes.
      const ours = all.filter(({ name }) => /^\/pkg\/(?!.*svg$)/.test(new URL(name).pathname));
      // What comes from the cache has crossed no network (Resource Timing, `transferSize`).
      return ours.map(({ name, transferSize }) => [new URL(name).pathname, transferSize > 0] as const);
    });
  const names = (all: (readonly [string, boolean])[]) =>
    [...new Set(all.map(([path]) => path.replace(/\/[0-9a-f]{16}\//, '/').replace(/_\d+/, '')))].sort();
  const all = ['/pkg/__wasm_split.js', '/pkg/hubbub.css', '/pkg/hubbub.js', '/pkg/hubbub.wasm'];
  await open(ada, '/rooms/tea');
  expect(names(await loaded())).toEqual(all);
  // Another visit asks for the page alone, also not for the icon.
  const icon = (await ada.locator('link[rel=icon]').getAttribute('href')) ?? '';
  const { headers } = await fetch(server.url(icon));
  expect(headers.get('content-type')).toBe('image/svg+xml');
  expect(headers.get('cache-control')).toContain('immutable');
  await open(ada, '/rooms/coffee');
  expect(names(await loaded())).toEqual(all);
  expect((await loaded()).filter(([, crossed]) => crossed)).toEqual([]);
  // Pages on which nothing changes need no code.
  for (const path of ['/rooms/tea?q=hello', '/nowhere']) {
    await ada.goto(path);
    expect(names(await loaded())).toEqual(['/pkg/hubbub.css']);
  }
  // What only the lab needs is loaded there alone, and what it shares with the operator's page.
  await open(ada, '/lab');
  const own = ['/pkg/chunk.wasm', '/pkg/split_lab.wasm'];
  expect(names(await loaded())).toEqual([...all, ...own].sort());
  expect(names((await loaded()).filter(([, crossed]) => crossed))).toEqual(own);
  const wasm = await fetch(server.url('/pkg/hubbub.wasm'), { headers: { 'accept-encoding': 'br' } });
  expect(wasm.headers.get('content-encoding')).toBe('br');
  const etag = wasm.headers.get('etag') ?? '';
  const again = await fetch(server.url('/pkg/hubbub.wasm'), {
    headers: { 'accept-encoding': 'br', 'if-none-match': etag },
  });
  expect(again.status).toBe(304);
});
