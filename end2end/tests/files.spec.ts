// Files from browser to browser: what arrives is what was sent, and the server has nothing of it.
import type { Download, Page } from '@playwright/test';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { counting, sent, setWays, two, writeToTheOther } from './direct.js';
import { Middlebox } from './proxy.js';
import { expect, open, test } from './support.js';

const MB = 1_000_000;

const file = (page: Page) => page.locator('.file');
const stage = (page: Page, stage: string) => page.locator(`.file[data-stage=${stage}]`);
/** Whoever accepts is connected with the other first, which may take some tries. */
const isDone = (page: Page) => expect(stage(page, 'done')).toBeVisible({ timeout: 60_000 });
const button = (page: Page, name: string) => file(page).getByRole('button', { name });

/** This browser can't write to disk as it comes. */
const withoutDisk = (page: Page) =>
  page.addInitScript(() => Reflect.deleteProperty(window, 'showSaveFilePicker'));

/** Makes a file that nothing can compress; returns where it is and its SHA-256. */
function make(dir: string, name: string, size: number): { path: string; sha256: string } {
  const path = join(dir, name);
  const bytes = randomBytes(size);
  writeFileSync(path, bytes);
  return { path, sha256: createHash('sha256').update(bytes).digest('hex') };
}

async function sha256(download: Download): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(await download.path()), hash);
  return hash.digest('hex');
}

/** Ada offers this file to Bob. */
async function offer(ada: Page, path: string): Promise<void> {
  await writeToTheOther(ada);
  await ada.locator('input[type=file]').setInputFiles(path);
  await expect(stage(ada, 'offered')).toBeVisible();
}

/** Bob's page does this when it shows that so much has come. */
const when = (page: Page, done: number, close: boolean) =>
  page.evaluate(
    ([done, close]) =>
      new Promise<void>((reached) => {
        const look = setInterval(() => {
          const progress = document.querySelector<HTMLProgressElement>('.file progress');
          if (!progress || progress.value < Number(done)) return;
          clearInterval(look);
          if (close) (window as unknown as { setWays(open: boolean): void }).setWays(false);
          reached();
        }, 5);
      }),
    [done, close],
  );

test('50 MB arrive as they are, and the server carries none of them', async ({ person, server }) => {
  const middlebox = new Middlebox();
  await middlebox.start(server.address);
  const own = new RegExp(`^request: ${middlebox.url('/').replaceAll('.', '\\.')}`);
  const visit = { baseURL: middlebox.url('/'), expected: own };
  const [ada, bob] = [await person(visit), await person(visit)];
  for (const page of [ada, bob]) {
    await withoutDisk(page);
    await open(page, '/rooms/tea');
  }
  await writeToTheOther(ada);
  const { path, sha256: expected } = make(server.dir, 'film.bin', 50 * MB);
  const before = middlebox.carried;
  const chosen = ada.waitForEvent('filechooser');
  await ada.getByRole('button', { name: 'Send a file' }).click();
  await (await chosen).setFiles(path);
  await expect(file(bob)).toContainText('film.bin');
  await expect(file(bob)).toContainText('50 MB');
  // Nobody has picked anybody in Bob's page: it is he who says yes to being connected.
  await expect(file(bob)).toContainText('network address');
  const downloaded = bob.waitForEvent('download');
  await button(bob, 'Accept').click();
  const download = await downloaded;
  expect(download.suggestedFilename()).toBe('film.bin');
  expect(await sha256(download)).toBe(expected);
  for (const page of [ada, bob]) await isDone(page);
  expect(middlebox.carried - before).toBeLessThan(200_000);
  // Before what they are connected through.
  for (const page of [ada, bob]) await page.close();
  await middlebox.close();
});

test('after a drop a file goes on from where it was', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  for (const page of [ada, bob]) await withoutDisk(page);
  await counting(ada);
  await two([ada, bob]);
  const { path, sha256: expected } = make(server.dir, 'film.bin', 100 * MB);
  await offer(ada, path);
  const downloaded = bob.waitForEvent('download');
  await button(bob, 'Accept').click();
  await when(bob, 40 * MB, true);
  await setWays(ada, false);
  for (const page of [ada, bob]) await expect(stage(page, 'waiting')).toBeVisible();
  for (const page of [ada, bob]) await setWays(page, true);
  expect(await sha256(await downloaded)).toBe(expected);
  for (const page of [ada, bob]) await isDone(page);
  // What was on its way when it dropped goes twice, and nothing else.
  expect(await sent(ada)).toBeLessThan(115 * MB);
});

test('either may give it up half-way, and whoever does not want it declines', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  for (const page of [ada, bob]) await withoutDisk(page);
  await two([ada, bob]);
  const { path } = make(server.dir, 'film.bin', 100 * MB);
  await offer(ada, path);
  await button(bob, 'Decline').click();
  await expect(stage(ada, 'ended')).toContainText('declined');
  for (const page of [ada, bob]) {
    await button(page, 'Dismiss').click();
    await expect(file(page)).toHaveCount(0);
  }
  for (const [one, other] of [[bob, ada], [ada, bob]]) {
    await ada.locator('input[type=file]').setInputFiles(path);
    await button(bob, 'Accept').click();
    await when(bob, 5 * MB, false);
    await button(one, 'Cancel').click();
    for (const page of [one, other]) {
      await expect(stage(page, 'ended')).toContainText('Cancelled');
      await button(page, 'Dismiss').click();
      await expect(file(page)).toHaveCount(0);
    }
  }
  // The connection is as good as before.
  const { path: note, sha256: expected } = make(server.dir, 'note.txt', 10);
  await ada.locator('input[type=file]').setInputFiles(note);
  const downloaded = bob.waitForEvent('download');
  await button(bob, 'Accept').click();
  expect(await sha256(await downloaded)).toBe(expected);
});

test('where the browser lets it, what comes is written to disk as it comes', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  // No one is there to choose a place: it goes where the page may write without asking.
  await bob.addInitScript(() => {
    Object.assign(window, {
      async showSaveFilePicker({ suggestedName }: { suggestedName: string }) {
        const dir = await navigator.storage.getDirectory();
        return dir.getFileHandle(suggestedName, { create: true });
      },
    });
  });
  await two([ada, bob]);
  const { path, sha256: expected } = make(server.dir, 'film.bin', 20 * MB);
  await offer(ada, path);
  await button(bob, 'Accept').click();
  await isDone(bob);
  const written = await bob.evaluate(async () => {
    const dir = await navigator.storage.getDirectory();
    const file = await (await dir.getFileHandle('film.bin')).getFile();
    const hash = await crypto.subtle.digest('SHA-256', await file.arrayBuffer());
    return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  });
  expect(written).toBe(expected);
});

test('whoever accepts twice is asked once where it is to go', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  await bob.addInitScript(() => {
    let choose: () => void;
    const chosen = new Promise<void>((resolve) => (choose = resolve));
    const picker = Object.assign(window, { asked: 0, choose: () => choose() });
    // As a browser does: whoever is asking must not ask again (File System Access, section 3.3).
    Object.assign(window, {
      async showSaveFilePicker({ suggestedName }: { suggestedName: string }) {
        picker.asked += 1;
        if (picker.asked > 1) throw new DOMException('asked already', 'NotAllowedError');
        await chosen;
        const dir = await navigator.storage.getDirectory();
        return dir.getFileHandle(suggestedName, { create: true });
      },
    });
  });
  await two([ada, bob]);
  const { path } = make(server.dir, 'film.bin', MB);
  await offer(ada, path);
  await button(bob, 'Accept').click();
  await button(bob, 'Accept').click();
  const asked = () => bob.evaluate(() => (window as unknown as { asked: number }).asked);
  expect(await asked()).toBe(1);
  await bob.evaluate(() => (window as unknown as { choose(): void }).choose());
  for (const page of [ada, bob]) await isDone(page);
  expect(await asked()).toBe(1);
});

test('several at once, and one that is empty', async ({ person, server }) => {
  const [ada, bob] = [await person(), await person()];
  for (const page of [ada, bob]) await withoutDisk(page);
  await two([ada, bob]);
  const files = [['a.txt', 3], ['empty', 0], ['한글 이름.txt', 300_000]] as const;
  const made = files.map(([name, size]) => make(server.dir, name, size));
  await writeToTheOther(ada);
  await ada.locator('input[type=file]').setInputFiles(made.map(({ path }) => path));
  for (const [n, { sha256: expected }] of made.entries()) {
    const downloaded = bob.waitForEvent('download');
    await file(bob).filter({ hasText: files[n][0] }).getByRole('button', { name: 'Accept' }).click();
    const download = await downloaded;
    expect(download.suggestedFilename()).toBe(files[n][0]);
    expect(await sha256(download)).toBe(expected);
  }
  await expect(stage(ada, 'done')).toHaveCount(3, { timeout: 60_000 });
});
