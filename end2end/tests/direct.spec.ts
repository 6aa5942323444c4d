// What is for one person alone: straight from browser to browser where there is a way, else through the server.
import type { Page } from '@playwright/test';
import { isDirect, setWays, two, writeToTheOther } from './direct.js';
import { expect, isConnected, open, say, test, texts } from './support.js';

const ways = (page: Page) => page.locator('.message .way');
const road = (page: Page) => page.locator('.addressee');

test('what is for one alone goes straight to them, and the server has nothing of it', async ({ person, server }) => {
  const [ada, bob] = await two([await person(), await person()]);
  for (const page of [ada, bob]) await writeToTheOther(page);
  const [reader, other] = [bob, await person()];
  await open(other, '/rooms/tea');
  await isDirect(ada);
  await say(ada, 'between us');
  await expect(texts(reader)).toHaveText(['between us']);
  await expect(ways(reader)).toContainText(['direct']);
  await expect(ways(ada)).toContainText(['direct']);
  await expect(reader.locator('.message .tag').first()).toHaveText('only to you');
  await ada.getByRole('button', { name: 'Write to everyone again' }).click();
  await say(ada, 'for all');
  await expect(texts(reader)).toHaveText(['between us', 'for all']);
  await expect(texts(other)).toHaveText(['for all']);
  const kept = await fetch(server.url('/api/rooms/tea/messages?after=0'));
  expect(await kept.text()).not.toContain('between us');
});

test('without a way it goes through the server, and directly again when there is one, each once', async ({ person }) => {
  const [ada, bob] = await two([await person(), await person()]);
  for (const page of [ada, bob]) await writeToTheOther(page);
  await isDirect(ada);
  await say(ada, 'one');
  await expect(texts(bob)).toHaveText(['one']);
  for (const page of [ada, bob]) await setWays(page, false);
  await expect(road(ada)).not.toHaveAttribute('data-road', 'direct');
  await say(ada, 'two');
  await expect(texts(bob)).toHaveText(['one', 'two']);
  await expect(ways(bob)).toContainText(['direct', 'relayed']);
  for (const page of [ada, bob]) await setWays(page, true);
  await isDirect(ada);
  await say(ada, 'three');
  for (const page of [ada, bob]) {
    await expect(texts(page)).toHaveText(['one', 'two', 'three']);
    await expect(ways(page)).toContainText(['direct', 'relayed', 'direct']);
  }
});

test('both may begin, and a reload of one is another page to the other', async ({ person }) => {
  const [ada, bob] = await two([await person(), await person()]);
  await Promise.all([writeToTheOther(ada), writeToTheOther(bob)]);
  for (const page of [ada, bob]) await isDirect(page);
  await say(ada, 'one');
  await say(bob, 'two');
  for (const page of [ada, bob]) await expect(texts(page)).toHaveCount(2);
  await bob.reload();
  await isConnected(bob);
  // What went directly is in no log.
  await expect(texts(bob)).toHaveCount(0);
  await expect(road(ada)).not.toHaveAttribute('data-road', 'direct');
  await say(ada, 'three');
  await expect(texts(bob)).toHaveText(['three']);
  await expect(ways(bob)).toContainText(['relayed']);
  await writeToTheOther(bob);
  await isDirect(ada);
  await expect(texts(ada).last()).toHaveText('three');
});

test('whoever has two pages gets it in both, through the server', async ({ person }) => {
  const [ada, bob] = await two([await person(), await person()]);
  const second = await bob.context().newPage();
  await open(second, '/rooms/tea');
  for (const page of [ada, bob]) await writeToTheOther(page);
  await expect(road(ada)).toHaveAttribute('data-road', 'hub');
  await say(ada, 'to both of you');
  for (const page of [bob, second, ada]) {
    await expect(texts(page)).toHaveText(['to both of you']);
    await expect(ways(page)).toContainText(['relayed']);
  }
  await second.close();
  await isDirect(ada);
});

test('whoever has not picked the other is connected with nobody, and what is for them comes through the server', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await bob.addInitScript(() => {
    const Browsers = window.RTCPeerConnection;
    Object.assign(window, { made: 0 });
    window.RTCPeerConnection = class extends Browsers {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        (window as unknown as { made: number }).made += 1;
      }
    };
  });
  for (const page of [ada, bob]) await open(page, '/rooms/tea');
  await writeToTheOther(ada);
  await expect(road(ada)).toHaveAttribute('data-road', 'relayed', { timeout: 60_000 });
  await say(ada, 'do you hear me?');
  await expect(texts(bob)).toHaveText(['do you hear me?']);
  await expect(ways(bob)).toContainText(['relayed']);
  expect(await bob.evaluate(() => (window as unknown as { made: number }).made)).toBe(0);
});

test('what is written for one alone is no draft for all', async ({ person }) => {
  const [ada] = await two([await person(), await person()]);
  await writeToTheOther(ada);
  await ada.locator('textarea[name=message]').pressSequentially('for you alone');
  await ada.keyboard.press('Escape');
  await expect(road(ada)).toBeVisible();
  await ada.reload();
  await isConnected(ada);
  await expect(ada.locator('textarea[name=message]')).toHaveValue('');
});

test('a browser without WebRTC writes through the server', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await ada.addInitScript(() => Reflect.deleteProperty(window, 'RTCPeerConnection'));
  for (const page of [ada, bob]) await open(page, '/rooms/tea');
  await writeToTheOther(bob);
  await expect(road(bob)).toHaveAttribute('data-road', 'hub');
  await say(bob, 'hello');
  await expect(texts(ada)).toHaveText(['hello']);
  await expect(ways(ada)).toContainText(['relayed']);
});

test('Escape writes to everyone again, and the keyboard alone is enough', async ({ person }) => {
  const [ada, bob] = await two([await person(), await person()]);
  await ada.getByRole('button', { name: /^Write to .* alone$/ }).focus();
  await ada.keyboard.press('Enter');
  await expect(road(ada)).toBeVisible();
  await expect(ada.locator('textarea[name=message]')).toBeFocused();
  await ada.keyboard.press('Escape');
  await expect(road(ada)).toHaveCount(0);
  await ada.keyboard.type('hello, all');
  await ada.keyboard.press('Enter');
  await expect(texts(bob)).toHaveText(['hello, all']);
  await expect(ways(bob)).toHaveCount(0);
});
