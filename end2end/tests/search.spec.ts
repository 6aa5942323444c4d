// Finding what was said in a room, with and without JavaScript.
import { expect, open, say, test, texts } from './support.js';

test('what was said is found also inside words, and leads to where it was said', async ({ person, server }) => {
  const ada = await person({ locale: 'ko-KR' });
  await open(ada, '/rooms/tea');
  for (const text of ['회의록을 공유합니다', '점심은 무엇을 먹을까요', 'The minutes are ready']) await say(ada, text);
  await expect(ada.locator('.message[data-kept]')).toHaveCount(3);
  await ada.getByRole('link', { name: '이 방에서 검색' }).click();
  await expect(ada.getByRole('searchbox')).toBeFocused();
  for (const [query, found] of [['록', 1], ['회의', 1], ['회의록', 1], ['을', 2], ['MINUTES', 1]] as const) {
    await ada.getByRole('searchbox').fill(query);
    await ada.keyboard.press('Enter');
    await expect(ada).toHaveURL(`${server.url('/rooms/tea')}?q=${encodeURIComponent(query)}`);
    await expect(ada.locator('.found-message')).toHaveCount(found);
  }
  await expect(ada.locator('mark')).toHaveText('minutes');
  await ada.getByRole('searchbox').fill('없는 말');
  await ada.keyboard.press('Enter');
  await expect(ada.getByRole('status')).toHaveText('찾은 메시지가 없습니다.');

  const plain = await person({ javaScriptEnabled: false });
  await plain.goto('/rooms/tea?q=회의');
  await plain.locator('.found-message').click();
  await expect(plain.locator('.message:target .text')).toHaveText('회의록을 공유합니다');
  await expect(texts(plain)).toHaveCount(3);
});

test('what is for others, or was taken back, is not found', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await say(ada, 'a secret for later');
  await ada.locator('.message').hover();
  await ada.locator('.message .more').click();
  await ada.getByRole('button', { name: 'Take back' }).click();
  await ada.getByRole('button', { name: 'Really?' }).click();
  await expect(texts(ada)).toHaveCount(0);
  const private_ = ada.locator('.members li', { hasNotText: 'you' }).getByRole('button');
  await private_.click();
  await say(ada, 'a secret between me and myself');
  await expect(texts(ada)).toHaveCount(1);
  await bob.goto('/rooms/tea?q=later');
  await expect(bob.getByRole('status')).toHaveText('Nothing was found.');
  const eve = await person();
  await eve.goto('/rooms/tea?q=secret');
  await expect(eve.getByRole('status')).toHaveText('Nothing was found.');
});

test('a search that can not be is refused in words', async ({ person }) => {
  const ada = await person({ expected: /413/ });
  await ada.goto(`/rooms/tea?q=${'x'.repeat(101)}`);
  await expect(ada.getByRole('alert').first()).toHaveText('That is too much to search for: at most 100.');
  await ada.goto('/rooms/tea?q=');
  await expect(ada.locator('.found-message')).toHaveCount(0);
  await expect(ada.getByRole('searchbox')).toBeVisible();
});
