// People who may be in a call.
import type { LaunchOptions, Page } from '@playwright/test';
import config from '../playwright.config.js';
import { expect, open } from './support.js';

/** A browser with cameras, microphones and a screen that are made up; its person says this about using them. */
export function withDevices(answer: string): LaunchOptions {
  const { launchOptions } = config.use!;
  // Where there are several and the kind of screen is not said, Chromium 156 shows nothing on it.
  const devices = '--use-fake-device-for-media-stream=device-count=2,display-media-type=monitor';
  return { ...launchOptions, args: [...launchOptions!.args!, devices, answer] };
}

/** Remembers every track that this page opens. */
const rememberTracks = (page: Page) =>
  page.addInitScript(() => {
    const opened: MediaStreamTrack[] = [];
    Object.assign(window, { opened });
    if (!navigator.mediaDevices) return;
    for (const name of ['getUserMedia', 'getDisplayMedia'] as const) {
      const ask = navigator.mediaDevices[name].bind(navigator.mediaDevices);
      navigator.mediaDevices[name] = async (wanted?: object) => {
        const stream = await ask(wanted);
        opened.push(...stream.getTracks());
        return stream;
      };
    }
  });
/** How many tracks this page has opened and not stopped. */
export const openTracks = (page: Page) =>
  page.evaluate(() => {
    const { opened } = window as unknown as { opened: MediaStreamTrack[] };
    return opened.filter((track) => track.readyState === 'live').length;
  });

export async function enter(page: Page): Promise<Page> {
  await rememberTracks(page);
  await open(page, '/rooms/tea');
  return page;
}

export async function join(page: Page): Promise<void> {
  await page.locator('#join-call').click();
  await expect(page.locator('.call-controls')).toBeVisible();
}

export const press = (page: Page, name: string) => page.locator('.call').getByRole('button', { name }).click();

/** So many others are seen moving: each video has shown more frames a while later. */
export async function seesMoving(page: Page, videos: string, count: number): Promise<void> {
  const frames = () =>
    page.locator(videos).evaluateAll((all) =>
      all.map((video) => (video as HTMLVideoElement).getVideoPlaybackQuality().totalVideoFrames),
    );
  await expect(page.locator(videos)).toHaveCount(count);
  await expect.poll(async () => Math.min(...(await frames())), { timeout: 30_000 }).toBeGreaterThan(0);
  const before = await frames();
  await expect
    .poll(async () => (await frames()).every((now, n) => now >= before[n] + 10), { timeout: 30_000 })
    .toBe(true);
}
