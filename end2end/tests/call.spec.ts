// A call: what one shows is seen moving by all, and whoever leaves has nothing open any more.
import type { Page } from '@playwright/test';
import { enter, join, openTracks, press, seesMoving, withDevices } from './call.js';
import { isDirect } from './direct.js';
import { expect, test } from './support.js';

test.use({ launchOptions: withDevices('--use-fake-ui-for-media-stream') });

const tiles = (page: Page) => page.locator('.tile:not(.mine):not(.screen)');

test('three see each other move, and whoever leaves stops everything', async ({ person }) => {
  const pages = [await enter(await person()), await enter(await person()), await enter(await person())];
  const [ada, bob, eve] = pages;
  await join(ada);
  await expect(bob.locator('.call')).toContainText('is in a call');
  await join(bob);
  await join(eve);
  for (const page of pages) await press(page, 'Camera on');
  for (const page of pages) {
    await expect(tiles(page)).toHaveCount(2);
    await seesMoving(page, '.tile:not(.mine) video.face:not(.unseen)', 2);
  }
  for (const page of pages) expect(await openTracks(page)).toBe(2);
  // What Bob turns off is gone for the others, and so is its light.
  await press(bob, 'Camera off');
  for (const page of [ada, eve]) {
    await expect(page.locator('.tile:not(.mine) video.face:not(.unseen)')).toHaveCount(1);
  }
  expect(await openTracks(bob)).toBe(1);
  await press(bob, 'Mute');
  for (const page of [ada, eve]) await expect(tiles(page).filter({ hasText: 'muted' })).toHaveCount(1);
  await press(eve, 'Leave');
  expect(await openTracks(eve)).toBe(0);
  for (const page of [ada, bob]) await expect(tiles(page)).toHaveCount(1);
  await expect(eve.locator('.tile')).toHaveCount(0);
  // Who closes the page has left as well.
  await bob.close();
  await expect(tiles(ada)).toHaveCount(0, { timeout: 30_000 });
});

test('a screen is seen beside the face, and those who write to each other directly can call too', async ({ person }) => {
  const [ada, bob] = [await enter(await person()), await enter(await person())];
  for (const page of [ada, bob]) {
    await page.getByRole('button', { name: /^Write to .* alone$/ }).click();
  }
  await isDirect(ada);
  await Promise.all([join(ada), join(bob)]);
  await press(ada, 'Share screen');
  await expect(bob.locator('.tile.screen')).toBeVisible();
  await seesMoving(bob, '.tile.screen video', 1);
  await press(bob, 'Camera on');
  await seesMoving(ada, '.tile:not(.mine) video.face:not(.unseen)', 1);
  await press(ada, 'Stop sharing');
  await expect(bob.locator('.tile.screen')).toBeHidden();
  await press(ada, 'Leave');
  expect(await openTracks(ada)).toBe(0);
  // And again, over the same connection.
  await join(ada);
  await press(ada, 'Camera on');
  await seesMoving(bob, '.tile:not(.mine) video.face:not(.unseen)', 1);
});

/** This page's person answers only when they are asked to, by `grant`: until then whoever wants a device waits. */
const answerLater = (page: Page) =>
  page.addInitScript(() => {
    if (!navigator.mediaDevices) return;
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const grants: (() => void)[] = [];
    Object.assign(window, { grant: () => grants.splice(0).forEach((grant) => grant()) });
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      await new Promise<void>((granted) => grants.push(granted));
      return ask(wanted);
    };
  });
const grant = (page: Page) => page.evaluate(() => (window as unknown as { grant(): void }).grant());
/** How many tracks this page was ever given. */
const given = (page: Page) => page.evaluate(() => (window as unknown as { opened: unknown[] }).opened.length);

test('what is granted after one has given up is closed at once', async ({ person }) => {
  const ada = await person();
  await answerLater(ada);
  await enter(ada);
  await ada.locator('#join-call').click();
  await expect(ada.locator('.call')).toContainText('asks whether this page may use the microphone');
  await expect(ada.locator('#call-said')).toContainText('asks whether this page may use the microphone');
  await press(ada, 'Cancel');
  await expect(ada.locator('.call')).toBeHidden();
  await expect(ada.locator('#join-call')).toBeFocused();
  await grant(ada);
  await expect.poll(() => given(ada)).toBe(1);
  await expect.poll(() => openTracks(ada)).toBe(0);
  await expect(ada.locator('.call-controls')).toHaveCount(0);
});

test('a microphone that one gives up changing is off, and is said to be', async ({ person }) => {
  const ada = await person();
  await answerLater(ada);
  await enter(ada);
  await ada.locator('#join-call').click();
  await grant(ada);
  await expect(ada.locator('#call-microphone')).toBeFocused();
  await expect(ada.locator('#call-microphone')).toHaveText('Mute');
  await choose(ada, 'Microphone', 1);
  await expect(ada.locator('.call')).toContainText('asks whether this page may use the microphone');
  await press(ada, 'Cancel');
  await expect(ada.locator('#call-microphone')).toBeFocused();
  await expect(ada.locator('#call-microphone')).toHaveText('Unmute');
  await grant(ada);
  await expect.poll(() => given(ada)).toBe(2);
  await expect.poll(() => openTracks(ada)).toBe(0);
});

/** Chooses the device of this kind that stands there. */
async function choose(page: Page, kind: string, index: number): Promise<string> {
  const devices = page.locator('.devices');
  if ((await devices.getAttribute('open')) === null) await devices.locator('summary').click();
  const list = devices.getByLabel(kind);
  await list.selectOption({ index });
  return list.inputValue();
}
/** Which devices this page has open, and whether anything is heard or seen of them. */
const devicesInUse = (page: Page) =>
  page.evaluate(() => {
    const { opened } = window as unknown as { opened: MediaStreamTrack[] };
    const live = opened.filter((track) => track.readyState === 'live');
    return live.map((track) => [track.kind, track.getSettings().deviceId, track.enabled]);
  });

test('choosing a device opens nothing that is off, and nobody is heard who is muted', async ({ person }) => {
  const ada = await enter(await person());
  await join(ada);
  await press(ada, 'Mute');
  const camera = await choose(ada, 'Camera', 1);
  expect(await openTracks(ada)).toBe(1);
  const microphone = await choose(ada, 'Microphone', 2);
  await expect.poll(() => devicesInUse(ada)).toEqual([['audio', microphone, false]]);
  await expect(ada.locator('#call-microphone')).toHaveText('Unmute');
  await press(ada, 'Camera on');
  await expect.poll(() => devicesInUse(ada)).toEqual([
    ['audio', microphone, false],
    ['video', camera, true],
  ]);
  for (const [kind, device] of [['Microphone', microphone], ['Camera', camera]]) {
    await expect(ada.locator('.devices').getByLabel(kind)).toHaveValue(device);
  }
});

test('a page that offers more than a call needs harms nobody', async ({ person }) => {
  const pages = [await person(), await person()];
  for (const page of pages) {
    await page.addInitScript(() => {
      type Offer = (this: RTCPeerConnection, options?: RTCOfferOptions) => Promise<RTCSessionDescriptionInit>;
      const connections = RTCPeerConnection.prototype as unknown as { createOffer: Offer };
      const { createOffer } = connections;
      connections.createOffer = function (options) {
        // Two more, which the hub still carries in one frame; behind those of the call, by whose places both sides know them.
        const there = this.getTransceivers().length;
        if (there >= 3 && there < 5) {
          for (const kind of ['audio', 'audio']) this.addTransceiver(kind);
        }
        return createOffer.call(this, options);
      };
    });
    await enter(page);
  }
  const [ada, bob] = pages;
  await join(ada);
  await join(bob);
  for (const page of pages) await press(page, 'Camera on');
  for (const page of pages) await seesMoving(page, '.tile:not(.mine) video.face:not(.unseen)', 1);
});

test('a browser that can be connected with no other says so before it asks for anything', async ({ person }) => {
  const ada = await person();
  await ada.addInitScript(() => Reflect.deleteProperty(window, 'RTCPeerConnection'));
  await enter(ada);
  await ada.locator('#join-call').click();
  await expect(ada.locator('.call')).toContainText('can’t be connected with another one');
  await expect(ada.locator('.call').getByRole('button')).toHaveText(['Dismiss']);
  expect(await given(ada)).toBe(0);
  await press(ada, 'Dismiss');
  await expect(ada.locator('#join-call')).toBeFocused();
});

test('a page that came neither by https nor from this machine says so', async ({ person }) => {
  const ada = await person();
  await ada.addInitScript(() => {
    Object.defineProperty(navigator, 'mediaDevices', { value: undefined });
    Object.defineProperty(window, 'isSecureContext', { value: false });
  });
  await enter(ada);
  await ada.locator('#join-call').click();
  await expect(ada.locator('.call')).toContainText('https');
});
