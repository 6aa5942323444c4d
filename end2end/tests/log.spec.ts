// The log: where it stands, what is in it, and how it reads.
import type { Page } from '@playwright/test';
import { drawn, expect, hold, holdPictures, isConnected, open, say, test, texts, type Server } from './support.js';

/** Says so many lines at once, the first of them with the number `from`. */
async function post(server: Server, room: string, word: string, count: number, from = 0): Promise<void> {
  const lines = Array.from({ length: count }, (_, n) => ({ value: `${word} ${from + n}` }));
  const answer = await fetch(server.url(`/api/rooms/${room}/messages`), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(lines),
  });
  expect(answer.status).toBe(200);
}

/** Says so many lines, as a program does that may say as much as it likes. */
async function fill(server: Server, room: string, count: number): Promise<void> {
  if (count > 100) {
    await server.stop();
    await server.start('--publish-rate', '0');
  }
  for (let from = 0; from < count; from += 100) await post(server, room, 'line', Math.min(100, count - from), from);
}

/** How far the log is scrolled away from its newest message, in pixels. */
const fromEnd = (page: Page) => page.locator('#log').evaluate((log) => -log.scrollTop);

/** Where a row is on the screen. */
async function topOf(page: Page, text: string): Promise<number> {
  const box = await texts(page).filter({ hasText: new RegExp(`^${text}$`) }).boundingBox();
  return box?.y ?? NaN;
}

test('the newest is seen before the page is live, without scripts, and after', async ({ person, server }) => {
  await fill(server, 'tea', 60);
  const bob = await person({ javaScriptEnabled: false });
  await bob.goto('/rooms/tea');
  await expect(texts(bob).last()).toBeInViewport();
  await bob.locator('textarea').fill('without a script');
  await bob.getByRole('button', { name: 'Send' }).click();
  await expect(texts(bob).filter({ hasText: 'without a script' })).toBeInViewport();

  const ada = await person();
  const release = await hold(ada, '**/*.wasm');
  await ada.goto('/rooms/tea');
  await expect(texts(ada).last()).toBeInViewport();
  const before = await topOf(ada, 'line 59');
  release();
  await isConnected(ada);
  expect(Math.abs((await topOf(ada, 'line 59')) - before)).toBeLessThanOrEqual(1);
});

test('the scroll position is the reader’s', async ({ person, server }) => {
  await fill(server, 'tea', 60);
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await ada.locator('#log').evaluate((log) => log.scrollTo(0, -400));
  await expect.poll(() => fromEnd(ada)).toBeGreaterThan(300);
  await drawn(ada);
  const before = await topOf(ada, 'line 40');
  await say(bob, 'you can not see this yet');
  await expect(ada.locator('.pill')).toHaveText('1 new message ↓');
  expect(Math.abs((await topOf(ada, 'line 40')) - before)).toBeLessThanOrEqual(1);
  await ada.locator('.pill').click();
  await expect.poll(() => fromEnd(ada)).toBeLessThan(1);
  await expect(ada.locator('.pill')).toHaveCount(0);
  await expect(ada.locator('#log')).toBeFocused();
});

/** With `hold`, frames that this page gets by WebSocket wait in `held`, until `letIn` has it hear them, all in one turn. */
type Frames = { hold: boolean; held: string[]; letIn: () => void };

const withFrames = (page: Page) =>
  page.addInitScript(() => {
    const frames: Frames = Object.assign(window, { hold: false, held: [], letIn: () => {} });
    const Browsers = window.WebSocket;
    window.WebSocket = class extends Browsers {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        // Before the page listens itself.
        this.addEventListener('message', (event) => {
          if (!frames.hold || !event.isTrusted) return;
          event.stopImmediatePropagation();
          frames.held.push(event.data);
        });
        frames.letIn = () => {
          for (const data of frames.held.splice(0)) this.dispatchEvent(new MessageEvent('message', { data }));
        };
      }
    };
  });
for (const when of ['comes', 'is drawn'] as const) {
  test(`whoever scrolls as a message ${when} stays there`, async ({ person, server }) => {
    await fill(server, 'tea', 60);
    const [ada, bob] = [await person(), await person()];
    await withFrames(ada);
    await open(ada, '/rooms/tea');
    await open(bob, '/rooms/tea');
    await ada.evaluate(() => ((window as unknown as Frames).hold = true));
    await say(bob, 'in between');
    await expect.poll(() => ada.evaluate(() => (window as unknown as Frames).held.join())).toContain('in between');
    await ada.locator('#log').evaluate((log, when) => {
      const scroll = () => log.scrollTo(0, -400);
      const frames = window as unknown as Frames;
      if (when === 'comes') scroll();
      frames.letIn();
      frames.hold = false;
      // Behind what the page itself does in this frame.
      if (when === 'is drawn') requestAnimationFrame(scroll);
    }, when);
    await expect(texts(ada).last()).toHaveText('in between');
    await drawn(ada);
    expect(await fromEnd(ada)).toBeGreaterThan(300);
    if (when === 'comes') {
      await expect(ada.locator('.pill')).toHaveText('1 new message ↓');
      await expect(ada.locator('.unread')).toHaveText('New');
    }
  });
}

test('what I say I see, wherever I was, and a long draft hides nothing', async ({ person, server }) => {
  await fill(server, 'tea', 60);
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.locator('textarea').fill('1\n2\n3\n4\n5\n6\n7\n8');
  await expect(texts(ada).last()).toBeInViewport();
  await ada.locator('#log').evaluate((log) => log.scrollTo(0, -400));
  await say(ada, 'here I am');
  await expect(texts(ada).last()).toHaveText('here I am');
  await expect(texts(ada).last()).toBeInViewport();
});

test('no word, however long, makes the page wider', async ({ person }) => {
  const ada = await person({ viewport: { width: 320, height: 568 } });
  await open(ada, '/rooms/tea');
  const wider = () =>
    ada.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const long = `https://example.org/${'x'.repeat(200)}`;
  await ada.locator('textarea').fill(long);
  expect(await wider()).toBeLessThanOrEqual(0);
  await expect(ada.getByRole('button', { name: 'Send' })).toBeInViewport({ ratio: 1 });
  await say(ada, long);
  await expect(texts(ada)).toHaveText([long]);
  expect(await wider()).toBeLessThanOrEqual(0);
});

test('links, code and emoji are shown as such, and everything else as text', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(ada, 'see https://example.org/a, `<b>` and <i>this</i> or javascript:alert(1)');
  await say(ada, 'like this:\n```js\nlet a = "<b>";\n```');
  await say(ada, '🎉');
  for (const page of [ada, bob]) {
    const link = page.locator('.text a');
    await expect(link).toHaveCount(1);
    await expect(link).toHaveAttribute('href', 'https://example.org/a');
    await expect(link).toHaveAttribute('rel', 'noopener nofollow ugc');
    await expect(page.locator('.text code')).toHaveText('<b>');
    await expect(page.locator('.code code')).toHaveText('let a = "<b>";');
    await expect(page.locator('.text.large')).toHaveText('🎉');
    await expect(texts(page).first()).toContainText('<i>this</i> or javascript:alert(1)');
    await expect(page.locator('.text b, .text i')).toHaveCount(0);
  }
  // Rendered by the server it is the same.
  await bob.reload();
  await expect(bob.locator('.text a')).toHaveAttribute('href', 'https://example.org/a');
  await expect(bob.locator('.code code')).toHaveText('let a = "<b>";');
});

test('times are those of the reader’s zone, from the second page on by the server’s first byte', async ({ person }) => {
  const ada = await person({ timezoneId: 'Asia/Seoul' });
  const sent = await ada.request.post('/api/rooms/tea/messages', { data: { value: 'when?' } });
  expect(sent.ok()).toBe(true);
  const first = await (await ada.request.get('/rooms/tea')).text();
  expect(first).toMatch(/>\d\d:\d\d UTC</);
  await open(ada, '/rooms/tea');
  const shown = ada.locator('.head time');
  await expect(shown).toHaveText(/^\d\d:\d\d$/);
  const clock = await shown.textContent();
  const at = new Date((await shown.getAttribute('datetime')) ?? '');
  expect(clock).toBe(at.toLocaleTimeString('en-GB', { timeZone: 'Asia/Seoul', hour: '2-digit', minute: '2-digit' }));
  const day = new Intl.DateTimeFormat('en-GB', { timeZone: 'Asia/Seoul', day: 'numeric' }).format(at);
  await expect(ada.locator('.day')).toContainText(`, ${day} `);
  const second = await (await ada.context().request.get('/rooms/tea')).text();
  expect(second).toContain(`>${clock}<`);
  // What was said in a room may be long ago.
  await open(ada, '/');
  await expect(ada.locator('.room-facts time')).toHaveText(new RegExp(`, ${day} .* ${clock}$`));
});

test('nothing moves while the page connects', async ({ person, server }) => {
  await fill(server, 'tea', 3);
  const ada = await person();
  await ada.addInitScript(() => {
    const shifts: string[] = [];
    const note = (entries: PerformanceEntry[]) => {
      for (const entry of entries) {
        const { sources } = entry as unknown as { sources: { node?: Element }[] };
        shifts.push(...sources.map(({ node }) => node?.parentElement?.outerHTML ?? 'gone'));
      }
    };
    const observer = new PerformanceObserver((list) => note(list.getEntries()));
    observer.observe({ type: 'layout-shift', buffered: true });
    // What has been drawn and not been told yet counts, too.
    const told = () => (note(observer.takeRecords()), shifts);
    const drawn = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    Object.assign(window, { shifts: () => drawn().then(told) });
  });
  await open(ada, '/rooms/tea');
  const before = await ada.evaluate(() => (window as unknown as { shifts: () => Promise<string[]> }).shifts());
  expect(before).toEqual([]);
});

test('older messages come as one scrolls up, and nothing jumps', async ({ person, server }) => {
  await fill(server, 'tea', 350);
  const ada = await person();
  await open(ada, '/rooms/tea');
  await expect(texts(ada)).toHaveCount(100);
  const release = await hold(ada, '**/messages?before=*');
  await texts(ada).first().scrollIntoViewIfNeeded();
  const before = await topOf(ada, 'line 255');
  release();
  await expect.poll(() => texts(ada).count()).toBeGreaterThan(100);
  expect(Math.abs((await topOf(ada, 'line 255')) - before)).toBeLessThanOrEqual(1);
  const reach = async () => {
    await texts(ada).first().scrollIntoViewIfNeeded();
    return texts(ada).count();
  };
  await expect.poll(reach).toBe(350);
  await expect(texts(ada).first()).toHaveText('line 0');
  await texts(ada).first().scrollIntoViewIfNeeded();
  await expect(ada.locator('.older')).toHaveCount(0);
  const numbers = await texts(ada).allTextContents();
  expect(numbers).toEqual(Array.from({ length: 350 }, (_, n) => `line ${n}`));
  // Each hundred was said by another, and has one head, wherever it was cut in two.
  await expect(ada.locator('.message .head')).toHaveCount(4);
  // Back at the end the page is small again.
  await ada.locator('#log').press('End');
  await expect(texts(ada)).toHaveCount(100);
  await expect(texts(ada).last()).toBeInViewport();
});

test('what is being read stays, however much comes', async ({ person, server }) => {
  await fill(server, 'tea', 101);
  const ada = await person();
  await open(ada, '/rooms/tea');
  await texts(ada).nth(49).scrollIntoViewIfNeeded();
  await expect.poll(() => fromEnd(ada)).toBeGreaterThan(300);
  await drawn(ada);
  const before = await topOf(ada, 'line 50');
  for (let n = 0; n < 6; n++) await post(server, 'tea', 'new', 100, n * 100);
  await expect(ada.locator('.pill')).toHaveText('600 new messages ↓');
  expect(Math.abs((await topOf(ada, 'line 50')) - before)).toBeLessThanOrEqual(1);
  await ada.locator('.pill').click();
  await expect(texts(ada).last()).toHaveText('new 599');
  await expect(texts(ada).last()).toBeInViewport();
  await expect(texts(ada)).toHaveCount(200);
});

test('of many that come at once the end is drawn first, and then the rest', async ({ person, server }) => {
  await fill(server, 'tea', 101);
  const ada = await person();
  await open(ada, '/rooms/tea');
  // How many rows there were when the last of them was first seen.
  await ada.evaluate(() => {
    const log = document.querySelector('#log .messages')!;
    const look = () => {
      const rows = log.querySelectorAll('.message');
      if (rows[rows.length - 1]?.textContent?.includes('late 99')) {
        observer.disconnect();
        Object.assign(window, { seenWith: rows.length });
      }
    };
    const observer = new MutationObserver(look);
    observer.observe(log, { childList: true });
  });
  await post(server, 'tea', 'late', 100);
  await expect(texts(ada).last()).toBeInViewport();
  await expect(texts(ada)).toHaveCount(200);
  expect(await ada.evaluate(() => (window as unknown as { seenWith: number }).seenWith)).toBeLessThan(100);
  const all = (word: string, from: number) => Array.from({ length: 100 }, (_, n) => `${word} ${n + from}`);
  expect(await texts(ada).allTextContents()).toEqual([...all('line', 1), ...all('late', 0)]);
});

test('however high what was there, what comes fills the log', async ({ person, server }) => {
  for (let n = 0; n < 20; n++) await post(server, 'tea', 'high\n'.repeat(20), 1, n);
  const ada = await person();
  await open(ada, '/rooms/tea');
  // In how many pictures there is nothing above what came, before the rest of the list is drawn.
  await ada.evaluate(() => {
    const [log, list] = ['#log', '#log .messages'].map((name) => document.querySelector(name)!);
    let empty = 0;
    const look = () => {
      const came = list.lastElementChild?.textContent?.includes('late 29');
      if (came && list.clientHeight < log.clientHeight) empty++;
      Object.assign(window, { empty });
      requestAnimationFrame(look);
    };
    look();
  });
  await post(server, 'tea', 'late', 30);
  await expect(texts(ada)).toHaveCount(50);
  expect(await ada.evaluate(() => (window as unknown as { empty: number }).empty)).toBeLessThan(8);
});

test('what has the focus, and what is picked out, stays, whatever comes above and below it', async ({ person, server }) => {
  await fill(server, 'tea', 201);
  const ada = await person();
  const socket = ada.waitForEvent('websocket');
  await open(ada, '/rooms/tea');
  const release = await hold(ada, '**/messages?before=*');
  const pick = (text: string) => ada.evaluate((text) => {
    const all = Array.from(document.querySelectorAll('.message .text'));
    getSelection()!.selectAllChildren(all.find((one) => one.textContent === text)!);
  }, text);
  const picked = () => ada.evaluate(() => `${getSelection()}`);
  const focused = ada.locator('.message', { has: ada.locator('.more:focus') });
  const first = ada.locator('.message', { hasText: 'line 101' });
  await first.scrollIntoViewIfNeeded();
  await first.locator('.more').focus();
  await pick('line 102');
  release();
  await expect(texts(ada)).toHaveCount(200);
  await expect(focused).toContainText('line 101');
  expect(await picked()).toBe('line 102');
  // At the end, where as many come between two pictures as stay.
  await ada.locator('#log').press('End');
  await expect(texts(ada)).toHaveCount(100);
  await post(server, 'tea', 'late', 100);
  await expect(texts(ada)).toHaveCount(200);
  await ada.locator('#log').focus();
  await ada.keyboard.press('Enter');
  await expect(focused).toContainText('late 99');
  await pick('late 98');
  const draw = await holdPictures(ada);
  const last = (await socket).waitForEvent('framereceived', ({ payload }) => `${payload}`.includes('more 99'));
  await post(server, 'tea', 'more', 100);
  await last;
  await draw();
  await expect(texts(ada).last()).toHaveText('more 99');
  await expect(focused).toContainText('late 99');
  expect(await picked()).toBe('late 98');
});

test('older messages are a link away without JavaScript', async ({ person, server }) => {
  await fill(server, 'tea', 150);
  const bob = await person({ javaScriptEnabled: false });
  await bob.goto('/rooms/tea');
  await bob.getByRole('link', { name: 'Older messages' }).click();
  await expect(texts(bob)).toHaveCount(50);
  await expect(texts(bob).first()).toHaveText('line 0');
  await expect(bob.getByRole('link', { name: 'Older messages' })).toHaveCount(0);
  await bob.getByRole('link', { name: 'To the newest messages' }).click();
  await expect(texts(bob).last()).toHaveText('line 149');
});
