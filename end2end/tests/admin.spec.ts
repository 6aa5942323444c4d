// The operator's page: how the hub is, who is there, and what can be done about it.
import { AxeBuilder } from '@axe-core/playwright';
import { drawn, expect, hold, isConnected, say, test, texts } from './support.js';

// The browser itself tells of each status that is none of success.
const expected = /status of 40[134]|status of 429/;

/** What there is, is listed at every fifth look, of which there is one a second at the most. */
const LISTED = { timeout: 60_000 };

test('whoever manages the hub sees how it is, and acts', async ({ person, server }) => {
  const [operator, ada, bob] = [await person({ expected }), await person({ expected }), await person()];
  for (const page of [ada, bob]) {
    await page.goto('/rooms/tea');
    await isConnected(page);
  }
  await say(ada, 'hello');
  await operator.goto('/admin');
  await expect(operator.locator('h1')).toHaveText('By invitation only');
  await operator.goto(`/admin#token=${server.token('--name', 'Operator', '--manage', '*')}`);
  await expect(operator.locator('h1')).toHaveText('Operation');
  // Its heading is there before its code is.
  await expect(operator.locator('html[data-hydrated]')).toBeAttached();

  const code = await operator.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
  expect(code.filter((name) => /split_(admin|lab)_/.test(name)).map((name) => /admin|lab/.exec(name)![0])).toEqual(['admin']);

  const figure = (name: string) => operator.locator('.figures > div', { hasText: name }).locator('dd').first();
  await expect(figure('State')).toHaveText('ready');
  await expect(figure('Sessions')).toHaveText('2');
  const row = (table: string, text: string) => operator.locator(`[aria-labelledby=${table}] tbody tr`, { hasText: text });
  const name = await ada.locator('.me-name').innerText();
  await expect(row('connections', 'websocket')).toHaveCount(2, LISTED);
  await expect(row('rooms', 'tea')).toContainText('2', LISTED);
  await expect(operator.locator('.admin-plots .curve').first()).toHaveAttribute('d', /^M/);
  expect((await new AxeBuilder({ page: operator }).analyze()).violations).toEqual([]);

  // Held still, by keyboard; the button stays where it is, and says so.
  await row('rooms', 'tea').getByRole('button', { name: 'Read only' }).focus();
  await operator.keyboard.press('Enter');
  await expect(row('rooms', 'tea').getByRole('button', { name: 'Read only' })).toHaveAttribute('aria-pressed', 'true');
  await expect(ada.getByText('You can read here, but not write.')).toBeVisible();
  await row('rooms', 'tea').getByRole('button', { name: 'Read only' }).click();
  await expect(ada.getByText('You can read here, but not write.')).toHaveCount(0);

  operator.on('dialog', (dialog) => dialog.accept());
  await row('connections', name).getByRole('button', { name: 'Put out for an hour' }).click();
  await expect(ada.locator('[data-conn]')).toHaveAttribute('data-conn', 'over');
  await expect(row('connections', 'websocket')).toHaveCount(1, LISTED);
  await ada.reload();
  await expect(ada.locator('h1')).toHaveText('By invitation only');
  await operator.locator('[aria-labelledby=out]').getByRole('button', { name: 'Let in' }).click();
  await expect(operator.locator('[aria-labelledby=out]')).toBeHidden();
  await ada.goto('/rooms/tea');
  await isConnected(ada);

  await row('rooms', 'tea').getByRole('button', { name: 'Clear' }).click();
  await expect.poll(async () => (await fetch(server.url('/api/rooms/tea/messages?after=0')).then((r) => r.json())).messages).toEqual([]);
  await fetch(server.url('/api/rooms/tea/messages'), { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' });
  await expect(row('refusals', 'invalid_json')).toContainText('http', LISTED);
  await expect(texts(bob)).toHaveText(['hello']);
});

test('a list that was asked for before an act does not undo it', async ({ person, server }) => {
  const [operator, ada] = [await person({ expected }), await person({ expected })];
  await ada.goto('/rooms/tea');
  await isConnected(ada);
  await operator.goto(`/admin#token=${server.token('--manage', '*')}`);
  const still = operator.locator('[aria-labelledby=rooms] tbody tr', { hasText: 'tea' }).getByRole('button', { name: 'Read only' });
  await expect(still).toHaveAttribute('aria-pressed', 'false', LISTED);
  // Of all that is listed this is asked for last.
  const release = await hold(operator, '**/api/refusals', 1);
  await operator.waitForRequest('**/api/refusals');
  await still.click();
  await expect(still).toHaveAttribute('aria-pressed', 'true');
  const older = operator.waitForResponse('**/api/refusals');
  release();
  await (await older).finished();
  await drawn(operator);
  // It is some seconds until what there is is listed again.
  expect(await still.getAttribute('aria-pressed')).toBe('true');
});

test('in Korean, on a small screen, nothing is cut off', async ({ person, server }) => {
  const operator = await person({ locale: 'ko-KR', viewport: { width: 320, height: 640 }, expected });
  await operator.goto(`/admin#token=${server.token('--manage', '*')}`);
  await expect(operator.locator('h1')).toHaveText('운영');
  await expect(operator.locator('.figures > div').first()).toContainText('준비됨');
  const width = await operator.evaluate(() => document.documentElement.scrollWidth);
  expect(width).toBeLessThanOrEqual(320);
});
