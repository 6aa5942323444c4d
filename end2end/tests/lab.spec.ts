// The lab in a real browser: all roads, a blocked one, Stop, and what the address says.
import type { Page } from '@playwright/test';
import { readFileSync } from 'node:fs';
import { counting, sent } from './direct.js';
import { expect, hold, test, type Server } from './support.js';

/** The cells of a road's row. */
async function row(page: Page, road: string): Promise<string[]> {
  return page.locator(`tr[data-road=${road}] td`).allInnerTexts();
}

/** The race is over: a way between browsers alone may take 15 s. */
const isDone = (page: Page) => expect(page.getByText('All roads are done.')).toBeVisible({ timeout: 120_000 });

/** How many are where two pages meet. */
const here = async (server: Server) => (await (await fetch(server.url('/api/rooms/lab-ab12cd/members'))).json()).count;

/** A figure as a page writes it. */
const figure = (text: string) => parseFloat(text.replaceAll(',', ''));

test('all five roads bring back each message once, and the address repeats the run', async ({ person }) => {
  const ada = await person();
  await ada.goto('/lab?n=12&rate=20&poll=200&seed=7');
  await expect(ada.locator('html[data-hydrated]')).toBeAttached();
  await expect(ada.getByText('This is a recorded run')).toBeVisible();
  await ada.getByRole('button', { name: 'Start' }).click();
  await isDone(ada);
  await expect(ada.getByText('This is a recorded run')).toBeHidden();
  for (const road of ['poll', 'longpoll', 'sse', 'websocket', 'webrtc']) {
    const [sent, lost, twice, ...rest] = await row(ada, road);
    expect([road, sent, lost, twice]).toEqual([road, '12', '0', '0']);
    expect(rest).not.toContain('–');
    const [p50, p95, p99] = rest.map(figure);
    expect(p50).toBeLessThanOrEqual(p95);
    expect(p95).toBeLessThanOrEqual(p99);
  }
  await expect(ada.getByText('WebRTC: Sent back by a second session of this page')).toBeVisible();
  expect(new URL(ada.url()).search).toContain('n=12&size=100&rate=20&poll=200&seed=7');
  const [json] = await Promise.all([
    ada.waitForEvent('download'),
    ada.getByRole('button', { name: 'Download as JSON' }).click(),
  ]);
  expect(json.suggestedFilename()).toBe('hubbub-lab.json');
  const race = JSON.parse(readFileSync(await json.path(), 'utf8'));
  expect(race.plan).toMatchObject({ count: 12, rate: 20, poll: 200, seed: 7 });
  expect(race.outcomes).toHaveLength(5);
  const [csv] = await Promise.all([
    ada.waitForEvent('download'),
    ada.getByRole('button', { name: 'Download as CSV' }).click(),
  ]);
  expect(csv.suggestedFilename()).toBe('hubbub-lab.csv');
  const lines = readFileSync(await csv.path(), 'utf8').trim().split('\n');
  // A heading, and a line for each road.
  expect(lines).toHaveLength(6);
});

test('two pages race WebRTC with each other, once the other is let answer', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  const address = '/lab?roads=webrtc&n=6&rate=20&with=ab12cd';
  for (const page of [ada, bob]) {
    await page.goto(address);
    await expect(page.locator('html[data-hydrated]')).toBeAttached();
  }
  await expect(ada.locator('.address')).toHaveText(new RegExp(`^${server.url('/lab')}\\?.*&with=ab12cd$`));
  // A link alone connects nobody.
  expect(await here(server)).toBe(0);
  await bob.getByRole('button', { name: 'Answer here' }).click();
  await expect(bob.getByText('What the other device sends is sent back')).toBeVisible();
  await expect.poll(() => here(server)).toBe(1);
  await ada.getByRole('button', { name: 'Start' }).click();
  await isDone(ada);
  await expect(ada.getByText('WebRTC: Sent back by another page.')).toBeVisible();
  expect((await row(ada, 'webrtc')).slice(0, 3)).toEqual(['6', '0', '0']);
});

test('another page is waited for as long as a way to it may take', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  // As a slow telephone: it answers after the time within which somebody has to be there.
  await bob.addInitScript(() => {
    const { createAnswer, createOffer } = RTCPeerConnection.prototype;
    const late = <Asked extends unknown[], Made>(make: (...asked: Asked) => Promise<Made>) =>
      async function (this: RTCPeerConnection, ...asked: Asked) {
        await new Promise((done) => setTimeout(done, 7_000));
        return make.apply(this, asked);
      };
    Object.assign(RTCPeerConnection.prototype, { createAnswer: late(createAnswer), createOffer: late(createOffer) });
  });
  for (const page of [ada, bob]) {
    await page.goto('/lab?roads=webrtc&n=6&rate=20&with=ab12cd');
    await expect(page.locator('html[data-hydrated]')).toBeAttached();
  }
  await bob.getByRole('button', { name: 'Answer here' }).click();
  await expect.poll(() => here(server)).toBe(1);
  await ada.getByRole('button', { name: 'Start' }).click();
  await isDone(ada);
  await expect(ada.getByText('WebRTC: Sent back by another page.')).toBeVisible();
  expect((await row(ada, 'webrtc')).slice(0, 3)).toEqual(['6', '0', '0']);
});

test('who answers too late is not taken for the second session of one’s own', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  await counting(bob);
  for (const page of [ada, bob]) {
    await page.goto('/lab?roads=webrtc&n=6&rate=20&with=ab12cd');
    await expect(page.locator('html[data-hydrated]')).toBeAttached();
  }
  // It is asked for once nobody has come.
  const release = await hold(ada, '**/api/token');
  const asked = ada.waitForRequest('**/api/token');
  await ada.getByRole('button', { name: 'Start' }).click();
  await asked;
  await bob.getByRole('button', { name: 'Answer here' }).click();
  await expect.poll(() => here(server)).toBe(2);
  release();
  await isDone(ada);
  await expect(ada.getByText('WebRTC: Sent back by a second session of this page')).toBeVisible();
  expect((await row(ada, 'webrtc')).slice(0, 3)).toEqual(['6', '0', '0']);
  expect(await sent(bob)).toBe(0);
});

test('where WebSockets are blocked the client finds another road, and the table says which', async ({ person }) => {
  const ada = await person();
  await ada.goto('/lab?roads=websocket&n=4&rate=20&block=websocket&latency=40');
  await expect(ada.locator('html[data-hydrated]')).toBeAttached();
  await ada.getByRole('button', { name: 'Start' }).click();
  await isDone(ada);
  await expect(ada.getByText('the client found a way by itself: Server-Sent Events')).toBeVisible();
  const [sent, lost, , p50] = await row(ada, 'websocket');
  expect([sent, lost]).toEqual(['4', '0']);
  expect(figure(p50)).toBeGreaterThanOrEqual(40);
});

test('Stop closes every connection', async ({ person }) => {
  const ada = await person();
  const open = new Set<unknown>();
  ada.on('websocket', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  // Event streams and long polls are requests that go on.
  ada.on('request', (request) => open.add(request));
  ada.on('requestfinished', (request) => open.delete(request));
  ada.on('requestfailed', (request) => open.delete(request));
  await ada.addInitScript(() => {
    const made: RTCPeerConnection[] = [];
    const Browsers = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Browsers {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        made.push(this);
      }
    };
    Object.assign(window, { made });
  });
  const connections = () =>
    ada.evaluate(() => {
      const { made } = window as unknown as { made: RTCPeerConnection[] };
      return made.filter(({ connectionState }) => connectionState !== 'closed').length;
    });
  await ada.goto('/lab?n=2000&rate=20&together=1');
  await expect(ada.locator('html[data-hydrated]')).toBeAttached();
  await ada.getByRole('button', { name: 'Start' }).click();
  for (const road of ['longpoll', 'sse', 'websocket', 'webrtc']) {
    await expect.poll(async () => figure((await row(ada, road))[0]), { timeout: 60_000 }).toBeGreaterThan(3);
  }
  expect(await connections()).toBeGreaterThan(0);
  await ada.getByRole('button', { name: 'Stop' }).click();
  await expect(ada.getByText('Stopped. All connections are closed.')).toBeVisible();
  await expect.poll(() => open.size).toBe(0);
  expect(await connections()).toBe(0);
});

test('whoever has chosen no road is told so, and nothing is sent', async ({ person }) => {
  const ada = await person();
  await ada.goto('/lab?roads=sse');
  await expect(ada.locator('html[data-hydrated]')).toBeAttached();
  await ada.getByRole('group', { name: 'Roads' }).getByLabel('Server-Sent Events').uncheck();
  await ada.getByRole('button', { name: 'Start' }).click();
  await expect(ada.getByText('Choose a road to race.')).toBeVisible();
  await expect(ada.getByText('This is a recorded run')).toBeVisible();
});
