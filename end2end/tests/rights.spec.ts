// Rooms for those with a token: by a link that becomes a cookie.
import { AxeBuilder } from '@axe-core/playwright';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, isConnected, say, test, texts } from './support.js';

test.beforeEach(async ({ server }) => {
  await server.stop();
  await server.start('--access', 'tokens');
});

// The browser itself tells of each status that is none of success.
const expected = /status of 40[134]/;

test('a link with a token lets in, leaves the address, and says what one may', async ({ person, server }) => {
  const [ada, bob, eve] = [await person({ expected }), await person({ expected }), await person({ expected })];
  await eve.goto('/rooms/tea');
  await expect(eve.locator('h1')).toHaveText('By invitation only');
  expect((await new AxeBuilder({ page: eve }).analyze()).violations).toEqual([]);

  const writes = server.token('--sub', 'ada', '--name', 'Ada', '--read', 'tea', '--write', 'tea');
  await ada.goto(`/rooms/tea#token=${writes}`);
  await isConnected(ada);
  await expect(ada).toHaveURL(/\/rooms\/tea$/);
  await expect(ada.locator('#me')).toContainText('Ada');
  await say(ada, 'only for the invited');
  await expect(texts(ada)).toHaveText(['only for the invited']);
  // The token is in none of the addresses that one could go back to.
  expect(await ada.evaluate(() => JSON.stringify(history.state) + location.href)).not.toContain('eyJ');

  const reads = server.token('--sub', 'bob', '--name', 'Bob', '--read', 't*');
  await bob.goto(`/rooms/tea#token=${reads}`);
  await isConnected(bob);
  await expect(texts(bob)).toHaveText(['only for the invited']);
  await expect(bob.getByText('You can read here, but not write.')).toBeVisible();
  await expect(bob.locator('textarea[name=message]')).toHaveCount(0);
  await say(ada, 'and more');
  await expect(texts(bob)).toHaveText(['only for the invited', 'and more']);
  expect((await new AxeBuilder({ page: bob }).analyze()).violations).toEqual([]);

  // Another room is not there, and another link opens it in the same tab.
  await bob.goto('/rooms/coffee');
  await expect(bob.locator('h1')).toHaveText('There is nothing here');
  const other = server.token('--sub', 'bob', '--read', 'coffee', '--write', 'coffee');
  await bob.evaluate((token) => (location.hash = `token=${token}`), other);
  await isConnected(bob);
  await expect(bob.locator('textarea[name=message]')).toBeVisible();
});

test('without scripts a token can be pasted', async ({ person, server }) => {
  const ada = await person({ javaScriptEnabled: false, expected });
  await ada.goto('/rooms/tea');
  await ada.locator('#token').fill('no such token');
  await ada.getByRole('button', { name: 'Come in' }).click();
  await expect(ada.getByRole('alert')).toHaveText('This token is not good here, or has expired.');
  await ada.locator('#token').fill(server.token('--read', 'tea', '--write', 'tea'));
  await ada.getByRole('button', { name: 'Come in' }).click();
  await ada.locator('textarea[name=message]').fill('by hand');
  await ada.locator('.send').click();
  await expect(texts(ada)).toHaveText(['by hand']);
});

test('when the token has expired the page says so, and a new link opens it again', async ({ person, server }) => {
  const ada = await person({ expected });
  await ada.goto(`/rooms/tea#token=${server.token('--sub', 'ada', '--read', 'tea', '--expires-in', '15')}`);
  await isConnected(ada);
  await expect(ada.locator('[data-conn]')).toHaveAttribute('data-conn', 'over', { timeout: 90_000 });
  await expect(ada.getByText('Your access has ended. To come back, open a new link.')).toBeVisible();
  await ada.goto(`/rooms/tea#token=${server.token('--sub', 'ada', '--read', 'tea')}`);
  await isConnected(ada);
});

test("a backend's day, as the README has it, by curl alone", async ({ person, server }) => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
  const lines = /What a backend does[^]*?```sh\n([^]*?)```/.exec(readme)![1];
  const [ada, bob] = [await person({ expected }), await person({ expected })];
  const rights = ['--read', 'team-*', '--write', 'team-*'];
  await ada.goto(`/rooms/team-red#token=${server.token('--sub', 'ada', '--name', 'Ada', ...rights)}`);
  await bob.goto(`/rooms/team-red#token=${server.token('--sub', 'bob', '--name', 'Bob', ...rights)}`);
  await isConnected(ada);
  await isConnected(bob);
  await say(bob, 'something that has to go');
  await expect(texts(ada)).toHaveText(['something that has to go']);
  const { messages } = JSON.parse(
    execFileSync('curl', ['-s', '-H', `Authorization: Bearer ${server.token('--manage', '*')}`,
      server.url('/api/rooms/team-red/messages')], { encoding: 'utf8' }),
  );
  const script = lines
    .replaceAll('http://127.0.0.1:3000', server.url('').replace(/\/$/, ''))
    .replaceAll('messages/42', `messages/${messages[0].offset}`)
    .replaceAll('curl ', 'curl --fail-with-body --silent --show-error ');
  const env = { PATH: process.env.PATH, BACKEND: server.token('--manage', '*') };
  const said = execFileSync('bash', ['-euc', script], { env, encoding: 'utf8' });
  expect(said).toContain('"slow_mode_ms":5000');
  await expect(texts(ada)).toHaveText(['Build 7 is green']);
  await expect(ada.locator('.message')).toContainText('CI');
  await expect(bob.locator('[data-conn]')).toHaveAttribute('data-conn', 'over');
  // In a slow room one is told when one says the second thing.
  await say(ada, 'one');
  await expect(texts(ada)).toHaveText(['Build 7 is green', 'one']);
});
