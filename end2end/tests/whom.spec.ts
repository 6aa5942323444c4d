// Whom something is for, and who is named in it.
import { expect, open, say, test, texts } from './support.js';
import type { Page } from '@playwright/test';

async function called(page: Page, name: string): Promise<void> {
  await page.locator('#first-name').fill(name);
  await page.locator('#first-name').press('Enter');
}

test('who gets it is chosen in the composer, and said at both ends', async ({ person }) => {
  const [ada, bob, eve] = [await person(), await person(), await person()];
  for (const [page, name] of [[ada, 'Ada'], [bob, 'Bob'], [eve, 'Eve']] as const) {
    await open(page, '/rooms/tea');
    await called(page, name);
  }
  await expect(ada.locator('.members li')).toHaveCount(3);
  // A row is made with the names of that moment.
  await expect(bob.locator('.members')).toContainText('Eve');
  await expect(eve.locator('.members')).toContainText('Bob');
  await ada.locator('#whom').click();
  await ada.locator('.whom').getByRole('checkbox', { name: 'Bob' }).check();
  await expect(ada.locator('.addressee .tag')).toHaveText('only to Bob');
  await ada.locator('.whom').getByRole('checkbox', { name: 'Eve' }).check();
  await expect(ada.locator('.addressee .tag')).toHaveText('only to Bob, Eve');
  await ada.keyboard.press('Escape');
  await expect(ada.locator('#whom')).toBeFocused();
  await say(ada, 'for the two of you');
  await expect(bob.locator('.message .tag:not(.way)').first()).toHaveText('only to you and Eve');
  await expect(eve.locator('.message .tag:not(.way)').first()).toHaveText('only to you and Bob');
  await expect(ada.locator('.message .tag:not(.way)').first()).toHaveText('only to Bob, Eve');
  await ada.reload();
  await expect(texts(ada)).toHaveText(['for the two of you']);

  await expect(ada.locator('[data-conn]')).toHaveAttribute('data-conn', 'open');
  await ada.locator('#whom').click();
  await ada.getByLabel('Only me').check();
  await expect(ada.locator('textarea')).toBeFocused();
  await say(ada, 'a note');
  await expect(ada.locator('.message .tag:not(.way)').last()).toHaveText('only to you');
  // Escape in an empty field is for everyone again.
  await ada.locator('textarea').press('Escape');
  await expect(ada.locator('.addressee')).toHaveCount(0);
  await ada.locator('#whom').click();
  await ada.getByLabel('Everyone but me').check();
  await say(ada, 'for others');
  await ada.getByRole('button', { name: 'Write to everyone' }).click();
  await say(ada, 'for all');
  await expect(texts(bob)).toHaveText(['for the two of you', 'for others', 'for all']);
  await expect(bob.locator('.message .tag:not(.way)').last()).toHaveText('to the others');
});

test('an @ brings the names of those who are here, by keyboard and by mouse', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await called(ada, 'Ada');
  await open(bob, '/rooms/tea');
  await called(bob, '김 민준');
  await expect(ada.locator('.members')).toContainText('김 민준');
  const field = ada.locator('textarea');
  await field.pressSequentially('hi @민');
  await expect(ada.getByRole('option')).toHaveText(['민준김 민준'].map(() => /김 민준/));
  await expect(field).toHaveAttribute('aria-activedescendant', 'mention-0');
  await field.press('Enter');
  await expect(field).toHaveValue('hi @김 민준 ');
  await expect(ada.getByRole('option')).toHaveCount(0);
  await field.pressSequentially('look @');
  await expect(ada.getByRole('option')).toHaveCount(1);
  await field.press('Escape');
  await expect(ada.getByRole('option')).toHaveCount(0);
  await field.press('Backspace');
  await field.press('Enter');
  await expect(texts(bob)).toHaveText(['hi @김 민준 look']);
  await expect(bob.locator('.message')).toHaveClass(/mentions-me/);
  await expect(ada.locator('.message')).not.toHaveClass(/mentions-me/);
  await field.pressSequentially('@');
  await ada.getByRole('option').click();
  await expect(field).toHaveValue('@김 민준 ');
  await expect(field).toBeFocused();
  // Elsewhere nothing is offered.
  await field.fill('hi @김');
  await expect(ada.getByRole('option')).toHaveCount(1);
  await field.press('Home');
  await expect(ada.getByRole('option')).toHaveCount(0);
});

test('an Enter that ends a Hangul syllable takes the name that is offered', async ({ person }) => {
  const [ada, bob] = [await person(), await person()];
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await called(bob, '민준');
  await expect(ada.locator('.members')).toContainText('민준');
  const field = ada.locator('textarea');
  await field.focus();
  await ada.keyboard.type('@');
  const cdp = await ada.context().newCDPSession(ada);
  await cdp.send('Input.imeSetComposition', { text: '민', selectionStart: 1, selectionEnd: 1 });
  await expect(ada.getByRole('option')).toHaveCount(1);
  // As browsers on macOS tell it: the key while it is composing, then the end of that.
  await cdp.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 229 });
  await cdp.send('Input.insertText', { text: '민' });
  await expect(field).toHaveValue('@민준 ');
  await expect(texts(ada)).toHaveCount(0);
});

test('how much room is left is said near the limit', async ({ person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  const left = ada.locator('.composer [role=status]');
  await ada.locator('textarea').fill('x'.repeat(14_000));
  await expect(left).toHaveCount(0);
  await ada.locator('textarea').fill('x'.repeat(16_300));
  await expect(left).toHaveText('82 bytes left');
  await ada.locator('textarea').fill('가'.repeat(5_461));
  await expect(left).toHaveText('1 bytes too long');
});
