// People whose browsers may reach each other.
import type { Page } from '@playwright/test';
import { expect, open } from './support.js';

/** Lets the test close the ways between browsers: connections then find none, and those there are end. */
async function withWays(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const made: RTCPeerConnection[] = [];
    const ways = { open: true };
    const Browsers = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Browsers {
      constructor(configuration?: RTCConfiguration) {
        // Without a relay there is no way by relays alone.
        super(ways.open ? configuration : { ...configuration, iceTransportPolicy: 'relay' });
        made.push(this);
      }
    };
    Object.assign(window, {
      setWays(open: boolean) {
        ways.open = open;
        if (!open) made.splice(0).forEach((connection) => connection.close());
      },
    });
  });
}

export const setWays = (page: Page, open: boolean) =>
  page.evaluate((open) => (window as unknown as { setWays(open: boolean): void }).setWays(open), open);

/**
 * What is written goes straight to the other one. Before both have picked each other a try may be declined, and then two
 * may cross: each time it is some seconds until the next.
 */
export const isDirect = (page: Page) =>
  expect(page.locator('.addressee')).toHaveAttribute('data-road', 'direct', { timeout: 60_000 });

/** From now on writes to the other one who is here, alone. */
export async function writeToTheOther(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^Write to .* alone$/ }).click();
  await expect(page.locator('.addressee')).toBeVisible();
}

/** Two people enter a room; the test can close their ways to each other. */
export async function two(people: [Page, Page]): Promise<[Page, Page]> {
  for (const page of people) {
    await withWays(page);
    await open(page, '/rooms/tea');
  }
  return people;
}

/** Counts what goes out on data channels, in bytes. */
export const counting = (page: Page) =>
  page.addInitScript(() => {
    type Send = (this: RTCDataChannel, data: string | Uint8Array) => void;
    const channels = RTCDataChannel.prototype as unknown as { send: Send };
    const { send } = channels;
    const counter = Object.assign(window, { sent: 0 });
    channels.send = function (data) {
      counter.sent += data.length;
      send.call(this, data);
    };
  });
export const sent = (page: Page) => page.evaluate(() => (window as unknown as { sent: number }).sent);
