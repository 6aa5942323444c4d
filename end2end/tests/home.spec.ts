// The home page: rooms with their last words, a new one in one click, and how others come into an empty one.
import { expect, hold, open, say, test, texts } from './support.js';

test('rooms are listed with their last words, and the list is kept up to date', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await say(ada, 'the kettle is on');
  await expect(ada.locator('.message[data-kept]')).toHaveCount(1);
  await bob.clock.install();
  // Its clock goes on by itself as well: nothing is asked for anew before it is let through.
  const release = await hold(bob, '**/api/rooms');
  await open(bob, '/');
  await expect(bob.locator('.room-card')).toContainText('the kettle is on');
  await open(ada, '/rooms/coffee');
  await say(ada, 'beans, too');
  await expect(ada.locator('.message[data-kept]')).toHaveCount(1);
  await expect(bob.locator('.room-card')).toHaveCount(1);
  release();
  await bob.clock.fastForward(11_000);
  await expect(bob.locator('.room-card')).toHaveCount(2);
  await expect(bob.locator('.room-card').first()).toContainText('coffee');
});

test('what is for others is not among the last words', async ({ person, server }) => {
  await fetch(server.url('/api/rooms/tea/messages'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ value: 'for all' }, { value: 'a secret', to: ['nobody'] }]),
  });
  const ada = await person({ javaScriptEnabled: false });
  await ada.goto('/');
  await expect(ada.locator('.room-last')).toContainText('for all');
});

test('a new room is one click away, and remembered', async ({ person }) => {
  const ada = await person({ locale: 'ko-KR' });
  await open(ada, '/');
  await ada.getByRole('link', { name: '새 방 열기' }).click();
  await expect(ada).toHaveTitle(/^[가-힣]+-[가-힣]+-\d{3} — Hubbub$/);
  await expect(ada.locator('[data-conn]')).toHaveAttribute('data-conn', 'open');
  const room = await ada.locator('h1').innerText();
  await open(ada, '/');
  await ada.getByRole('navigation', { name: '최근에 들른 방' }).getByRole('link', { name: room }).click();
  await expect(ada.locator('h1')).toHaveText(room);
});

test('an empty room says how people and programs come in', async ({ person, server }) => {
  const ada = await person({ permissions: ['clipboard-read', 'clipboard-write'] });
  await open(ada, '/rooms/차 한잔');
  const [people, programs] = [ada.getByRole('region', { name: 'Invite people' }), ada.getByRole('region', { name: 'Let a program in' })];
  await expect(people.locator('code')).toHaveText(server.url('/rooms/%EC%B0%A8%20%ED%95%9C%EC%9E%94'));
  // The browser has drawn it.
  await expect.poll(() => people.locator('img').evaluate((img: HTMLImageElement) => img.naturalWidth)).toBeGreaterThan(0);
  await programs.getByRole('button', { name: 'Copy' }).click();
  await expect(ada.locator('.toast')).toHaveText('Copied.');
  const line = await ada.evaluate(() => navigator.clipboard.readText());
  const [, text, address] = /^curl -d '(.*)' (\S+)$/.exec(line) ?? [];
  await fetch(address, { method: 'POST', body: text, headers: { 'content-type': 'text/plain' } });
  await expect(texts(ada)).toHaveText([text]);
  await expect(people).toHaveCount(0);
});
