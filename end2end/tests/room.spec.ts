// People in a room.
import { Middlebox } from './proxy.js';
import { AGAIN, expect, hold, isConnected, open, say, taken, test, texts } from './support.js';

test('two people talk, and see who is here', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(ada, 'hello');
  await expect(texts(bob)).toHaveText(['hello']);
  await say(bob, 'hi yourself');
  for (const page of [ada, bob]) {
    await expect(texts(page)).toHaveText(['hello', 'hi yourself']);
    await expect(page.locator('.members li')).toHaveCount(2);
  }
  await expect(ada.locator('.message[data-state=pending]')).toHaveCount(0);
  await bob.close();
  await expect(ada.locator('.members li')).toHaveCount(1);
});

test('whoever joins late sees what was said, in order, already in the HTML', async ({ person, server }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  const said = Array.from({ length: 30 }, (_, n) => `line ${n}`);
  for (const text of said) await say(ada, text);
  await expect(taken(ada)).toHaveText(said);

  const html = await (await fetch(server.url('/rooms/tea'))).text();
  expect(said.every((text) => html.includes(text))).toBe(true);

  const late = await person();
  await open(late, '/rooms/tea');
  await expect(texts(late)).toHaveText(said);
  await say(ada, 'and live');
  await expect(texts(late)).toHaveText([...said, 'and live']);
});

test('a reload keeps the name and the history', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.locator('#first-name').fill('에이다');
  const kept = ada.waitForResponse('**/settings');
  await say(ada, 'first');
  await expect(ada.locator('.author')).toHaveText('에이다');
  await expect(ada.locator('#first-name')).toHaveCount(0);
  await kept;
  await expect(taken(ada)).toHaveText(['first']);
  await ada.reload();
  await isConnected(ada);
  await expect(texts(ada)).toHaveText(['first']);
  await expect(ada.locator('.me-name')).toHaveText('에이다');
  await say(ada, 'second');
  await expect(ada.locator('.author')).toHaveText(['에이다']);
});

test('a name is kept, also if the page goes before the server has it', async ({ person, server }) => {
  const middlebox = new Middlebox();
  await middlebox.start(server.address);
  const own = new RegExp(`^request: ${middlebox.url('/').replaceAll('.', '\\.')}`);
  const ada = await person({ baseURL: middlebox.url('/'), expected: own });
  await open(ada, '/rooms/tea');
  const known = async () => (await ada.context().cookies()).find(({ name }) => name === 'hubbub')?.value;
  const before = await known();
  middlebox.options = { latency: 1_000 };
  const asked = ada.waitForRequest('**/settings');
  await ada.locator('#first-name').fill('Ada');
  await ada.locator('#first-name').press('Enter');
  await asked;
  await ada.goto('about:blank');
  await expect.poll(known).not.toBe(before);
  middlebox.options = {};
  await open(ada, '/rooms/tea');
  await expect(ada.locator('.me-name')).toHaveText('Ada');
  await ada.close();
  await middlebox.close();
});

test('a new name is seen by everyone at once', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await ada.locator('.me summary').click();
  await ada.locator('#my-name').fill('Countess');
  await ada.getByRole('button', { name: 'Save' }).click();
  await expect(ada.locator('.me-name')).toHaveText('Countess');
  await expect(bob.locator('.member-name', { hasText: 'Countess' })).toBeVisible();
});

test('a new name stays, also of whoever gave one at first', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.locator('#first-name').fill('Ada');
  await ada.locator('#first-name').press('Enter');
  await expect(ada.locator('.me-name')).toHaveText('Ada');
  await ada.locator('.me summary').click();
  await ada.locator('#my-name').fill('Countess');
  await ada.getByRole('button', { name: 'Save' }).click();
  await expect(ada.locator('.me-name')).toHaveText('Countess');
  await say(ada, 'hello');
  await expect(ada.locator('.author')).toHaveText('Countess');
  await expect(ada.locator('.me-name')).toHaveText('Countess');
});

test('whoever loads the page again is not away', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(bob, '/rooms/tea');
  await open(ada, '/rooms/tea');
  await ada.reload();
  await isConnected(ada);
  await say(ada, 'here again');
  await expect(texts(bob)).toHaveText('here again');
  for (const page of [ada, bob]) {
    await expect(page.locator('.members li')).toHaveCount(2);
    await expect(page.locator('.members')).not.toContainText('away');
  }
});

test('two tabs of one person go by one name', async ({ person }) => {
  const first = await person();
  await open(first, '/rooms/tea');
  const second = await first.context().newPage();
  await open(second, '/rooms/tea');
  await first.locator('.me summary').click();
  await first.locator('#my-name').fill('Countess');
  await first.getByRole('button', { name: 'Save' }).click();
  await expect(second.locator('.me-name')).toHaveText('Countess');
  await say(second, 'hello');
  await expect(first.locator('.author')).toHaveText('Countess');
  await expect(first.locator('.members li')).toHaveCount(1);
});

test('a message for some is marked as such', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.evaluate(() => {
    const socket = new WebSocket(`ws://${location.host}/ws?room=tea`);
    socket.onopen = () =>
      socket.send(JSON.stringify({ type: 'message', params: { value: 'psst', to: 'others' } }));
  });
  await expect(ada.locator('.message .tag')).toHaveText('to the others');
});

test('the server is killed and started again: the page says so and comes back by itself', async ({ person, server }) => {
  const ada = await person({ expected: /WebSocket connection .* failed|ERR_CONNECTION_REFUSED/ });
  await open(ada, '/rooms/tea');
  await say(ada, 'before');
  await expect(ada.locator('.message[data-state=sent]')).toHaveText([/before/]);
  await server.stop('SIGKILL');
  await expect(ada.getByRole('status').first()).toContainText('Connection lost');
  await say(ada, 'written while away');
  await expect(ada.locator('.message[data-state=pending]')).toHaveCount(1);
  await server.start();
  await isConnected(ada, AGAIN);
  await expect(ada.locator('.message[data-state=pending]')).toHaveCount(0);
  await expect(texts(ada)).toHaveText(['before', 'written while away']);
  const bob = await person();
  await open(bob, '/rooms/tea');
  await expect(texts(bob)).toHaveText(['before', 'written while away']);
  await expect(ada.locator('.gap')).toHaveCount(0);
});

test('in another life of the log, where numbers begin anew, what is said is new', async ({ person, server }) => {
  const said = (body: string) => fetch(server.url('/api/rooms/tea/messages'), { method: 'POST', body });
  for (const word of ['one', 'two', 'three']) await said(word);
  const ada = await person({ expected: /WebSocket connection .* failed|ERR_CONNECTION_REFUSED/ });
  await open(ada, '/rooms/tea');
  await server.stop('SIGKILL');
  await expect(ada.getByRole('status').first()).toContainText('Connection lost');
  await server.start('--ephemeral');
  await isConnected(ada, AGAIN);
  await said('here I am');
  await expect(ada.locator('.log-frame [role=status]')).toContainText('here I am');
});

test('what was written while away has the time that the server gives it', async ({ person, server }) => {
  const ada = await person({ expected: /WebSocket connection .* failed|ERR_CONNECTION_REFUSED/ });
  // Her clock is three hours late.
  await ada.clock.install({ time: Date.now() - 3 * 60 * 60 * 1000 });
  await open(ada, '/rooms/tea');
  await server.stop();
  await say(ada, 'hello');
  const time = ada.locator('.message time').last();
  const late = await time.getAttribute('datetime');
  await server.start();
  await expect(ada.locator('.message[data-state=sent]')).toHaveCount(1, AGAIN);
  await expect(time).not.toHaveAttribute('datetime', late!);
  const shown = await time.getAttribute('datetime');
  await ada.reload();
  await isConnected(ada);
  await expect(time).toHaveAttribute('datetime', shown!);
});

test('a restart is not everybody leaving and coming back', async ({ person, server }) => {
  const expected = /WebSocket connection .* failed|ERR_CONNECTION_REFUSED/;
  const [ada, bob] = [await person({ expected }), await person({ expected })];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await expect(ada.locator('.members li')).toHaveCount(2);
  await ada.evaluate(() => {
    const list = document.querySelector('.members ul')!;
    const seen = ((window as any).seen = new Set([list.children.length]));
    new MutationObserver(() => seen.add(list.children.length)).observe(list, { childList: true });
  });
  await server.stop('SIGTERM');
  await server.start();
  await isConnected(ada, AGAIN);
  await isConnected(bob, AGAIN);
  // Both are live again: what one says, the other hears.
  await say(bob, 'still here');
  await expect(texts(ada)).toHaveText(['still here']);
  expect(await ada.evaluate(() => [...(window as any).seen])).toEqual([2]);
});

test('the wait is counted down, and can be cut short', async ({ person, server }) => {
  const ada = await person({ expected: /WebSocket connection .* failed|ERR_CONNECTION_REFUSED/ });
  // The seed of all chance in the page: with this one the fourth wait is nearly the longest there can be, 8 seconds.
  await ada.addInitScript(() => (Math.random = () => 0.964));
  await open(ada, '/rooms/tea');
  await server.stop('SIGKILL');
  const banner = ada.locator('.banner');
  // Each is there for a second at the most: all are written down.
  await banner.evaluate((banner) => {
    const seen = ((window as any).seen = [] as string[]);
    new MutationObserver(() => seen.push(/Next try in (\d+) s/.exec(banner.textContent!)?.[1] ?? '')).observe(banner, {
      childList: true,
      characterData: true,
      subtree: true,
    });
  });
  const counted = () => ada.evaluate(() => (window as any).seen.filter((n: string, i: number, all: string[]) => n !== all[i - 1]).join(' '));
  await expect.poll(counted, { timeout: 90_000 }).toMatch(/\b8 7\b/);
  await server.start();
  await ada.getByRole('button', { name: 'Try now' }).click();
  await isConnected(ada);
  await expect(banner).toHaveText('');
});

test('typing is shown to the others, until it is said or taken back', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  const field = ada.locator('textarea');
  for (const end of [() => field.fill(''), () => field.press('Enter')]) {
    await expect(async () => {
      await expect(bob.locator('.typing')).toHaveText('');
      const began = Date.now();
      await field.pressSequentially('hm');
      await expect(bob.locator('.typing')).toContainText('is writing…');
      await expect(ada.locator('.typing')).toHaveText('');
      await end();
      await expect(bob.locator('.typing')).toHaveText('');
      // By itself it would have ended later. Where all of it took so long, nothing was seen.
      expect(Date.now() - began).toBeLessThan(6_000);
    }).toPass({ timeout: 90_000 });
  }
});

test('whoever looks elsewhere is shown as away to the others, until they look again', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  const look = (state: string) =>
    ada.evaluate((state) => {
      Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
    }, state);
  await look('hidden');
  await expect(bob.locator('.members li.idle')).toHaveCount(1);
  await expect(bob.locator('.members li.idle')).toContainText('away');
  await look('visible');
  await expect(bob.locator('.members li.idle')).toHaveCount(0);
});

test('what people write is text, and what programs send is code', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  const nasty = '<img src=x onerror=alert(1)><script>alert(2)</script>';
  await say(ada, nasty);
  await expect(texts(ada)).toHaveText([nasty]);
  await ada.evaluate(() => {
    const socket = new WebSocket(`ws://${location.host}/ws?room=tea`);
    const send = (value: unknown) => socket.send(JSON.stringify({ type: 'message', params: { value } }));
    socket.onopen = () => {
      send({ '<b>': [1, null] });
      // As deep as a value may be: the page's data holds it deeper still.
      let deep: unknown = 'core';
      for (let n = 0; n < 32; n++) deep = [deep];
      send(deep);
    };
  });
  await expect(ada.locator('pre.code').first()).toHaveText('{"<b>":[1,null]}');
  await expect(ada.locator('pre.code').last()).toContainText('core');
  await ada.reload();
  await isConnected(ada);
  await expect(texts(ada)).toHaveText([nasty]);
  await expect(ada.locator('pre.code').first()).toHaveText('{"<b>":[1,null]}');
  await expect(ada.locator('pre.code').last()).toContainText('core');
  expect(await ada.locator('.messages img, .messages script, .messages b').count()).toBe(0);
});

test('a message that is too long stays in the field and says why', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  const long = 'x'.repeat(17_000);
  await say(ada, long);
  await expect(ada.locator('#composer-problem')).toHaveText(/at most 16384 bytes/);
  await expect(ada.locator('textarea')).toHaveValue(long);
});

test('a draft survives a reload', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.locator('textarea').fill('half a thou');
  await ada.reload();
  await isConnected(ada);
  await expect(ada.locator('textarea')).toHaveValue('half a thou');
});

test('what was typed before the page came alive is still there after', async ({ person }) => {
  const ada = await person();
  const release = await hold(ada, '**/*.wasm');
  await ada.goto('/rooms/tea');
  await ada.locator('textarea').fill('early bird');
  release();
  await isConnected(ada);
  await expect(ada.locator('textarea')).toHaveValue('early bird');
});

test('no network at all is said at once, and what is written then is sent later', async ({ person }) => {
  const ada = await person({ expected: /ERR_INTERNET_DISCONNECTED|WebSocket/ });
  await open(ada, '/rooms/tea');
  await ada.context().setOffline(true);
  await expect(ada.locator('.banner')).toContainText('You are offline');
  await expect(ada.locator('#open-inspector .dot')).toHaveAttribute('data-state', '3');
  await say(ada, 'from the tunnel');
  await ada.context().setOffline(false);
  await expect(ada.locator('.banner')).not.toContainText('You are offline');
  await expect(taken(ada)).toHaveText(['from the tunnel'], AGAIN);
});

test('a page that can not come alive says so', async ({ person }) => {
  for (const what of ['**/*.wasm', '**/hubbub.js']) {
    const ada = await person({ expected: /ERR_FAILED|Failed to|uncaught/ });
    await ada.route(what, (route) => route.abort());
    await ada.goto('/rooms/tea');
    await expect(ada.locator('#stopped')).toBeVisible();
  }
});

test('the name is asked for once, and the card has the one of now', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await ada.locator('#first-name').fill('Ada');
  await ada.locator('#first-name').press('Enter');
  await expect(ada.locator('.me-name')).toHaveText('Ada');
  await expect(ada.locator('#first-name')).toHaveCount(0);
  await expect(ada.locator('textarea')).toBeFocused();

  await ada.locator('#me').click();
  await expect(ada.locator('#my-name')).toHaveValue('Ada');
  await ada.locator('#my-name').press('Escape');
  await expect(ada.locator('#my-name')).toBeHidden();
  await expect(ada.locator('#me')).toBeFocused();

  await ada.locator('#me').click();
  await ada.locator('#log').click();
  await expect(ada.locator('#my-name')).toBeHidden();

  await ada.locator('#me').click();
  await ada.locator('#my-name').fill('Ada Lovelace');
  await ada.locator('#my-name').press('Enter');
  await expect(ada.locator('.me-name')).toHaveText('Ada Lovelace');
  await expect(ada.locator('#me')).toBeFocused();
});
