// Whatever lies between a page and the server: a way is found, and what is said arrives once and in
// order. Ada is behind a proxy; Bob is not.
import type { Page } from '@playwright/test';
import { Middlebox, type Adversity } from './proxy.js';
import { expect, open, say, test as base, texts, type Server } from './support.js';

type Road = 'websocket' | 'sse' | 'longpoll' | 'poll';
const ANY: Road[] = ['websocket', 'sse', 'longpoll', 'poll'];

/** How long the page may take to find a road, or to hear everything on a bad one. */
const LONG = { timeout: 60_000 };

const test = base.extend<{ middlebox: Middlebox; ada: Page; bob: Page }>({
  middlebox: async ({ server }, use) => {
    const middlebox = new Middlebox();
    await middlebox.start(server.address);
    await use(middlebox);
    await middlebox.close();
  },

  ada: async ({ person, middlebox }, use) => {
    // To `person` the proxy is another origin; that a browser reports what the proxy breaks is right.
    const own = middlebox.url('/').replaceAll('.', '\\.');
    const broken = 'WebSocket connection .* failed|Failed to load resource: .*(net::ERR_| 403 )';
    await use(
      await person({
        baseURL: middlebox.url('/'),
        expected: new RegExp(`^request: ${own}|^console: (${broken})`),
      }),
    );
  },

  bob: async ({ person }, use) => use(await person()),
});

test.setTimeout(240_000);

/** Waits until a page is connected, by one of these roads. */
async function isOn(page: Page, roads: Road[], within = LONG): Promise<void> {
  const open = roads.map((road) => `[data-conn=open][data-road=${road}]`);
  await expect(page.locator(open.join())).toBeAttached(within);
}

/** Goes to the room, however long it may take to connect. */
async function enter(page: Page): Promise<void> {
  await page.goto('/rooms/tea');
  await expect(page.locator('html[data-hydrated]')).toBeAttached();
}

/** Ada says something, and Bob, who has heard it, too. What they say goes into `lines`. */
async function exchange(ada: Page, bob: Page, lines: string[]): Promise<void> {
  // With a full stop, so that none is a part of another.
  const [fromAda, fromBob] = ['ada', 'bob'].map((name) => `${name} ${lines.length / 2}.`);
  lines.push(fromAda, fromBob);
  await say(ada, fromAda);
  await expect(texts(bob).filter({ hasText: fromAda })).toHaveCount(1, LONG);
  await say(bob, fromBob);
}

type Kept = { value: string; id: string; offset: number };

/** What is in the room, as somebody who has nothing to do with it reads it. */
async function kept(server: Server): Promise<Kept[]> {
  const answer = await fetch(server.url('/api/rooms/tea/messages?after=0&limit=1000'));
  expect(answer.status).toBe(200);
  return (await answer.json()).messages;
}

/** The room has each of the lines once, those of one author in order, and both pages show just that. */
async function isComplete(server: Server, pages: Page[], lines: string[]): Promise<void> {
  const values = async () => (await kept(server)).map(({ value }) => value);
  await expect.poll(async () => (await values()).sort(), LONG).toEqual([...lines].sort());
  const room = await values();
  for (const name of ['ada', 'bob']) {
    const own = (line: string) => line.startsWith(name);
    expect(room.filter(own)).toEqual(lines.filter(own));
  }
  for (const page of pages) {
    await expect(texts(page)).toHaveText(room, LONG);
    // Nothing is still on its way, to be said once more.
    await expect(page.locator('.message:not([data-state=sent])')).toHaveCount(0, LONG);
  }
  const all = await kept(server);
  expect(all.map(({ value }) => value)).toEqual(room);
  expect(new Set(all.map(({ id }) => id)).size).toBe(room.length);
  expect(all.map(({ offset }) => offset)).toEqual(all.map(({ offset }) => offset).sort((a, b) => a - b));
}

type Case = {
  name: string;
  options: Adversity;
  roads: Road[];
  /** The page is loaded before it gets bad, for it could not be loaded then. */
  later?: true;
  /** Every connection ends now and then while they talk. */
  cuts?: true;
};

const cases: Case[] = [
  {
    name: 'where no upgrade gets through, an event stream does',
    options: { stripUpgrade: true },
    roads: ['sse'],
  },
  {
    name: 'where every WebSocket soon dies, an event stream lives',
    options: { killUpgradedAfter: 200 },
    roads: ['sse'],
  },
  {
    name: 'where every WebSocket is mute, an event stream speaks',
    options: { muteUpgraded: true },
    roads: ['sse'],
  },
  {
    name: 'where event streams are held back as well, answers that wait get through',
    options: { stripUpgrade: true, bufferStreams: true },
    roads: ['longpoll'],
  },
  {
    name: 'where nothing lives longer than two seconds, short requests do',
    options: { stripUpgrade: true, refuseStreams: true, cutEverythingAfter: 2000 },
    roads: ['longpoll', 'poll'],
    cuts: true,
  },
  {
    name: 'a slow way is no bad way: the WebSocket stays',
    options: { latency: 300 },
    roads: ['websocket'],
  },
  {
    name: 'where half of all requests are lost, and every WebSocket now and then, all arrives once',
    options: { dropHalf: true },
    roads: ANY,
    later: true,
    cuts: true,
  },
  {
    name: 'where half of all posts are lost, or only their answers, all arrives once',
    options: { stripUpgrade: true, dropHalf: true },
    roads: ANY,
    later: true,
    cuts: true,
  },
];

for (const { name, options, roads, later, cuts } of cases) {
  test(name, async ({ ada, bob, middlebox, server }) => {
    // What is cut off while the page is loaded is not what this is about.
    if (!later) middlebox.options = { ...options, cutEverythingAfter: undefined };
    await enter(ada);
    if (!later) middlebox.options = options;
    await isOn(ada, later ? ['websocket'] : roads);
    await open(bob, '/rooms/tea');
    middlebox.options = options;
    const lines: string[] = [];
    for (let n = 0; n < 10; n++) {
      if (cuts && n % 3 === 0) middlebox.cut();
      await exchange(ada, bob, lines);
    }
    await isComplete(server, [ada, bob], lines);
    await isOn(ada, roads);
  });
}

test('when upgrades get through again, the page is back on a WebSocket by itself', async ({ ada, bob, middlebox, server }) => {
  middlebox.options = { stripUpgrade: true };
  await enter(ada);
  await isOn(ada, ['sse']);
  await open(bob, '/rooms/tea');
  const lines: string[] = [];
  for (let n = 0; n < 5; n++) await exchange(ada, bob, lines);
  middlebox.options = { stripUpgrade: false };
  // They talk on while the page changes over: that is when something could be lost or said twice.
  await expect(async () => {
    await exchange(ada, bob, lines);
    await isOn(ada, ['websocket'], { timeout: 250 });
  }).toPass({ timeout: 90_000, intervals: [250] });
  for (let n = 0; n < 5; n++) await exchange(ada, bob, lines);
  await isComplete(server, [ada, bob], lines);
  await isOn(ada, ['websocket']);
});

test('the person may choose the road, and each carries both ways', async ({ bob, person }) => {
  const ada = await person();
  await open(ada, '/rooms/tea');
  await open(bob, '/rooms/tea');
  await ada.locator('#open-inspector').click();
  const lines: string[] = [];
  for (const road of ['poll', 'longpoll', 'sse', 'websocket'] as const) {
    await ada.getByLabel('Transport').selectOption(road);
    await isOn(ada, [road]);
    await exchange(ada, bob, lines);
    await expect(texts(ada)).toHaveText(lines, LONG);
    // It is kept over a reload.
    await ada.reload();
    await isOn(ada, [road]);
    await ada.locator('#open-inspector').click();
    await expect(ada.getByLabel('Transport')).toHaveValue(road);
  }
  await ada.getByLabel('Transport').selectOption('');
  await isOn(ada, ['websocket']);
  await exchange(ada, bob, lines);
  await expect(texts(ada)).toHaveText(lines, LONG);
});
