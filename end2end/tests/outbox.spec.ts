// Nothing written is lost, nothing is said twice.
import type { BrowserContext, Page } from '@playwright/test';
import { expect, isConnected, open, say, taken, test, texts, type Server } from './support.js';

/** What is in the room, as somebody who has nothing to do with it reads it. */
async function said(server: Server): Promise<string[]> {
  const html = await (await fetch(server.url('/rooms/tea'))).text();
  return [...html.matchAll(/<p[^>]*class="text"[^>]*>([^<]*)/g)].map((match) => match[1]);
}

/** After 10 s a page waits for an answer no more. */
const UNANSWERED = { timeout: 60_000 };

/** A gate before the room, on every road: while it is shut, nothing gets through. */
async function gate(target: Page | BrowserContext): Promise<{ open: () => void }> {
  let shut = true;
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  await target.routeWebSocket(/\/ws/, (socket) => {
    if (shut) void socket.close();
    else socket.connectToServer();
  });
  await target.route(/\/api\/rooms\//, async (route) => {
    await opened;
    // The page may have given this one up.
    await route.continue().catch(() => {});
  });
  return {
    open: () => {
      shut = false;
      open();
    },
  };
}

test('an answer that never comes makes a message unknown; sending it again says it once', async ({ person, server }) => {
  const ada = await person();
  let swallow = true;
  await ada.routeWebSocket(/\/ws/, (socket) => {
    const upstream = socket.connectToServer();
    upstream.onMessage((frame) => {
      if (!swallow || !/"type":"(ack|message)"/.test(String(frame))) socket.send(frame);
    });
  });
  await open(ada, '/rooms/tea');
  await say(ada, '하나뿐인 메시지');
  const row = ada.locator('.message');
  await expect(row).toHaveAttribute('data-state', 'pending');
  await expect(row).toHaveAttribute('data-state', 'unknown', UNANSWERED);
  swallow = false;
  await ada.getByRole('button', { name: 'Send again' }).click();
  await expect(row).toHaveAttribute('data-state', 'sent');
  expect(await said(server)).toEqual(['하나뿐인 메시지']);
});

test('an unknown message can be discarded, and what waited behind it goes', async ({ person, server }) => {
  const ada = await person();
  let swallow = true;
  await ada.routeWebSocket(/\/ws/, (socket) => {
    const upstream = socket.connectToServer();
    socket.onMessage((frame) => {
      if (!swallow || !String(frame).includes('never mind')) upstream.send(frame);
    });
  });
  await open(ada, '/rooms/tea');
  await say(ada, 'never mind');
  await say(ada, 'but this');
  await expect(ada.locator('.message').first()).toHaveAttribute('data-state', 'unknown', UNANSWERED);
  await ada.getByRole('button', { name: 'Discard' }).click();
  await expect(taken(ada)).toHaveText(['but this']);
  expect(await said(server)).toEqual(['but this']);
});

test('what could not be sent survives a reload, and so does the draft', async ({ person, server }) => {
  const ada = await person();
  const room = await gate(ada);
  await ada.goto('/rooms/tea');
  await expect(ada.locator('html[data-hydrated]')).toBeAttached();
  await say(ada, 'first');
  await say(ada, 'second');
  await ada.locator('textarea').fill('half a thou');
  await ada.reload();
  await expect(texts(ada)).toHaveText(['first', 'second']);
  room.open();
  await isConnected(ada);
  await expect(taken(ada)).toHaveText(['first', 'second']);
  await expect(ada.locator('textarea')).toHaveValue('half a thou');
  expect(await said(server)).toEqual(['first', 'second']);
});

test('what could not be sent survives a closed tab, and two tabs do not send it twice', async ({ person, server }) => {
  const first = await person();
  const context = first.context();
  const room = await gate(context);
  await first.goto('/rooms/tea');
  await expect(first.locator('html[data-hydrated]')).toBeAttached();
  await say(first, 'left behind');
  await expect(first.locator('.message[data-state=pending]')).toHaveCount(1);
  await first.close({ runBeforeUnload: true });
  room.open();
  const [second, third] = [await context.newPage(), await context.newPage()];
  await Promise.all([open(second, '/rooms/tea'), open(third, '/rooms/tea')]);
  for (const page of [second, third]) {
    await expect(taken(page)).toHaveText(['left behind']);
  }
  expect(await said(server)).toEqual(['left behind']);
});

test('the server is killed while much is being sent: all of it arrives once, in order', async ({ person, server }) => {
  const ada = await person({ expected: /WebSocket connection .* failed|ERR_CONNECTION_REFUSED/ });
  await open(ada, '/rooms/tea');
  const lines = Array.from({ length: 30 }, (_, n) => `line ${n}`);
  for (const [n, line] of lines.entries()) {
    await say(ada, line);
    if (n === 12) await server.stop('SIGKILL');
    if (n === 20) await server.start();
  }
  await expect(taken(ada)).toHaveText(lines, { timeout: 90_000 });
  expect(await said(server)).toEqual(lines);
});

test('whoever writes faster than the rate allows is slowed down, not refused', async ({ person, server }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  const lines = Array.from({ length: 130 }, (_, n) => `line ${n}`);
  await ada.locator('textarea').evaluate((field: HTMLTextAreaElement, lines) => {
    for (const line of lines) {
      field.value = line;
      field.form?.requestSubmit();
    }
  }, lines);
  await expect(ada.locator('.message[data-state=sent]')).toHaveCount(130, { timeout: 60_000 });
  expect((await said(server)).slice(-100)).toEqual(lines.slice(-100));
});
