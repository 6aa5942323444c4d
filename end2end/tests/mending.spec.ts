// What is done to something after it was said: edited, taken back, reacted to; and its own address.
import { AGAIN, drawn, expect, holdPictures, open, say, test, texts } from './support.js';
import type { Page } from '@playwright/test';

/** The row of a message. */
const row = (page: Page, text: string) => page.locator('.message', { hasText: text });

/** Opens the tools of a message. */
async function tools(page: Page, text: string): Promise<void> {
  await row(page, text).hover();
  await row(page, text).locator('.more').click();
  await expect(row(page, text).locator('.tools')).toBeVisible();
}

test('what I said I edit, and everybody sees it at once and later', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(ada, 'helo');
  await expect(texts(bob)).toHaveText(['helo']);
  await ada.locator('textarea').fill('half a thought');
  await tools(ada, 'helo');
  await ada.getByRole('button', { name: 'Edit' }).click();
  await expect(ada.locator('textarea')).toHaveValue('helo');
  await expect(ada.locator('textarea')).toBeFocused();
  await ada.locator('textarea').fill('hello');
  await ada.keyboard.press('Enter');
  await expect(texts(bob)).toHaveText(['hello']);
  await expect(texts(ada)).toHaveText(['hello']);
  await expect(row(bob, 'hello').locator('.edited')).toHaveText('edited');
  // What was being written is still there.
  await expect(ada.locator('textarea')).toHaveValue('half a thought');
  // Nobody else can.
  await tools(bob, 'hello');
  await expect(bob.getByRole('button', { name: 'Edit' })).toHaveCount(0);
  const late = await person({ javaScriptEnabled: false });
  await late.goto('/rooms/tea');
  await expect(texts(late)).toHaveText(['hello']);
});

test('the arrow up edits what I said last, Escape leaves it', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await say(ada, 'first');
  await say(ada, 'second');
  await expect(row(ada, 'second')).toHaveAttribute('data-state', 'sent');
  await ada.locator('textarea').press('ArrowUp');
  await expect(ada.locator('textarea')).toHaveValue('second');
  await ada.keyboard.press('Escape');
  await expect(ada.locator('textarea')).toHaveValue('');
  await expect(texts(ada)).toHaveText(['first', 'second']);
  await expect(ada.locator('.editing')).toHaveCount(0);
});

test('what I take back is gone, for those who are there and those who come', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(ada, 'stays');
  await say(ada, 'a secret');
  await expect(texts(bob)).toHaveText(['stays', 'a secret']);
  await tools(ada, 'a secret');
  await ada.getByRole('button', { name: 'Take back' }).click();
  await expect(texts(bob)).toHaveText(['stays', 'a secret']);
  await ada.getByRole('button', { name: 'Really?' }).click();
  await expect(texts(bob)).toHaveText(['stays']);
  await expect(texts(ada)).toHaveText(['stays']);
  await expect(ada.locator('textarea')).toBeFocused();
  const answer = await fetch(server.url('/api/rooms/tea/messages'));
  expect(await answer.text()).not.toContain('secret');
  await bob.reload();
  await expect(texts(bob)).toHaveText(['stays']);
});

test('one click reacts and one takes it back, and all see who', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(ada, 'cake?');
  await expect(texts(bob)).toHaveText(['cake?']);
  await tools(bob, 'cake?');
  await bob.getByRole('button', { name: 'React with 🎉' }).click();
  const reaction = row(ada, 'cake?').locator('.reaction');
  await expect(reaction).toHaveText('🎉1');
  await expect(reaction).toHaveAttribute('aria-pressed', 'false');
  await reaction.click();
  await expect(row(bob, 'cake?').locator('.reaction')).toHaveText('🎉2');
  await expect(row(bob, 'cake?').locator('.reaction')).toHaveAttribute('aria-pressed', 'true');
  await bob.reload();
  await expect(row(bob, 'cake?').locator('.reaction')).toHaveText('🎉2');
  await expect(bob.locator('html')).toHaveAttribute('data-hydrated', '');
  await row(bob, 'cake?').locator('.reaction').click();
  await expect(reaction).toHaveText('🎉1');
});

test('all of it by keyboard', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await say(ada, 'one');
  await say(ada, 'two');
  await expect(row(ada, 'two')).toHaveAttribute('data-state', 'sent');
  await ada.locator('#log').focus();
  await ada.keyboard.press('Enter');
  await expect(row(ada, 'two').locator('.more')).toBeFocused();
  await ada.keyboard.press('ArrowUp');
  await expect(row(ada, 'one').locator('.more')).toBeFocused();
  await ada.keyboard.press('Enter');
  await expect(ada.getByRole('button', { name: 'React with 👍' })).toBeFocused();
  await ada.keyboard.press('Escape');
  await expect(row(ada, 'one').locator('.more')).toBeFocused();
  // The second key is for what the first one opens, also where pictures come late.
  const draw = await holdPictures(ada);
  await ada.keyboard.press('Enter');
  await ada.keyboard.press('Enter');
  await draw();
  await expect(row(ada, 'one').locator('.reaction')).toHaveText('👍1');
  await expect(row(ada, 'one').locator('.more')).toBeFocused();
  await ada.keyboard.press('Escape');
  await expect(ada.locator('textarea')).toBeFocused();
});

test('what is being edited goes with its message', async ({ person }) => {
  const [ada, other] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await say(ada, 'here today');
  await expect(row(ada, 'here today')).toHaveAttribute('data-state', 'sent');
  // Another of her tabs takes it back.
  await other.context().addCookies(await ada.context().cookies());
  await open(other, '/rooms/tea');
  await ada.locator('textarea').press('ArrowUp');
  await tools(other, 'here today');
  await other.getByRole('button', { name: 'Take back' }).click();
  await other.getByRole('button', { name: 'Really?' }).click();
  // What is edited is there no more, so nothing is.
  await expect(texts(ada)).toHaveCount(0);
  await expect(ada.locator('.editing')).toHaveCount(0);
  await expect(ada.locator('textarea')).toHaveValue('');
});

test('two reactions at once are two, also before the first is answered', async ({ person }) => {
  const [ada, bob] = [await person({ expected: /WebSocket|ERR_INTERNET/ }), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(bob, 'cake or pie?');
  await expect(texts(ada)).toHaveCount(1);
  await ada.context().setOffline(true);
  for (const emoji of ['👍', '🎉']) {
    await tools(ada, 'cake or pie?');
    await ada.getByRole('button', { name: `React with ${emoji}` }).click();
  }
  await ada.context().setOffline(false);
  await expect(row(bob, 'cake or pie?').locator('.reaction')).toHaveText(['👍1', '🎉1'], AGAIN);
});

test('what is taken back goes from wherever it is read', async ({ person, server }) => {
  await server.stop();
  await server.start('--publish-rate', '0');
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await say(ada, 'a secret');
  await expect(row(ada, 'a secret')).toHaveAttribute('data-kept', '');
  await fetch(server.url('/api/rooms/tea/messages'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(Array.from({ length: 60 }, (_, n) => ({ value: `line ${n}` }))),
  });
  // Its first row, on a page that is not at its end.
  await open(bob, '/rooms/tea?at=1#m-1');
  await expect(texts(bob).first()).toHaveText('a secret');
  await ada.locator('#log').evaluate((log) => log.scrollTo(0, -log.scrollHeight));
  await tools(ada, 'a secret');
  await ada.getByRole('button', { name: 'Take back' }).click();
  await ada.getByRole('button', { name: 'Really?' }).click();
  await expect(texts(bob).first()).toHaveText('line 0');
  await expect(bob.getByText('a secret')).toHaveCount(0);
});

test('while something is edited it is said for whom that is', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(ada, 'for all');
  await expect(row(ada, 'for all')).toHaveAttribute('data-kept', '');
  await ada.locator('.members li', { hasNotText: 'you' }).getByRole('button').click();
  await expect(ada.locator('.addressee')).toHaveCount(1);
  await ada.locator('textarea').press('ArrowUp');
  await expect(ada.locator('.editing')).toBeVisible();
  await expect(ada.locator('.addressee')).toHaveCount(0);
  await ada.keyboard.press('Escape');
  await expect(ada.locator('.addressee')).toHaveCount(1);
});

test('each message has an address, which shows it where it stands', async ({ person, server }) => {
  await server.stop();
  await server.start('--publish-rate', '0');
  for (let from = 0; from < 300; from += 100) {
    await fetch(server.url('/api/rooms/tea/messages'), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(Array.from({ length: 100 }, (_, n) => ({ value: `line ${from + n}` }))),
    });
  }
  const plain = await person({ javaScriptEnabled: false });
  await plain.goto('/rooms/tea?at=51#m-51');
  const target = plain.locator('.message:target');
  await expect(target.locator('.text')).toHaveText('line 50');
  await expect(target).toBeInViewport();
  await expect(texts(plain).first()).toHaveText('line 1');
  await expect(texts(plain).last()).toHaveText('line 100');

  const ada = await person({ permissions: ['clipboard-read', 'clipboard-write'] });
  await open(ada, '/rooms/tea?at=51#m-51');
  await expect(ada.locator('.message:target .text')).toHaveText('line 50');
  await expect(texts(ada).last()).toHaveText('line 299');
  await expect(ada.locator('.message:target')).toBeInViewport({ ratio: 1 });
  // What was said before is read, and nothing new.
  await expect(ada.locator('.pill, .unread')).toHaveCount(0);
  await tools(ada, 'line 50');
  await ada.getByRole('link', { name: 'Copy link' }).click();
  const copied = await ada.evaluate(() => navigator.clipboard.readText());
  expect(copied).toBe(server.url('/rooms/tea?at=51#m-51'));
  await fetch(server.url('/api/rooms/tea/messages'), { method: 'POST', body: 'and one more' });
  await expect(ada.locator('.pill')).toHaveText(/^1 new message/);

  await plain.goto('/rooms/tea?at=9999#m-9999');
  await expect(plain.locator('.past').first()).toContainText('not here any more');
});

test('what came while nobody looked has a line above it', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  for (let n = 0; n < 40; n += 1) await say(ada, `line ${n}`);
  await expect(texts(bob).last()).toHaveText('line 39');
  await expect(bob.locator('.unread')).toHaveCount(0);
  await bob.locator('#log').evaluate((log) => log.scrollTo(0, -300));
  await expect.poll(() => bob.locator('#log').evaluate((log) => -log.scrollTop)).toBeGreaterThan(200);
  await drawn(bob);
  await say(ada, 'while you were away');
  await say(ada, 'and this');
  await bob.locator('.pill').click();
  await expect(row(bob, 'while you were away').locator('.unread')).toHaveText('New');
  await expect(bob.locator('.unread')).toHaveCount(1);
  // Whoever answers has read it.
  await say(bob, 'back');
  await expect(bob.locator('.unread')).toHaveCount(0);
});
