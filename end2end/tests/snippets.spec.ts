// "Use this room from your program": every snippet on the page is run as it is printed there.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, open, python, say, STARTED, test, texts } from './support.js';

// A room whose name has to be written differently in an address, in JSON and in a shell.
const ROOM = "차 & 'tea'";

const running: { child: ChildProcess; printed: () => string }[] = [];

/** Runs a program, and remembers what it prints. */
function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, detached: true });
  let out = '';
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (out += data));
  running.push({ child, printed: () => out });
  return () => out;
}

test.afterEach(() => {
  // With what they started themselves.
  for (const { child } of running.splice(0)) {
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
  }
});

test('every snippet works as it is printed', async ({ person, server }) => {
  const ada = await person();
  await open(ada, `/rooms/${encodeURIComponent(ROOM)}`);
  await ada.locator('#open-inspector').click();
  await ada.getByText('Use this room from your program').click();
  const code = (word: string) => ada.locator(`[data-snippet=${word}]`).innerText();
  await expect(ada.locator('[data-snippet]')).toHaveCount(6);
  const printed: Record<string, () => string> = {};

  // The two that only read are there before anything is said.
  printed.shell = run('sh', ['-c', await code('shell')]);
  const page = await person();
  const console_: string[] = [];
  page.on('console', (message) => console_.push(message.text()));
  await page.goto(server.url('/'));
  await page.evaluate(await code('events'));
  await page.evaluate(await code('websocket'));
  await expect.poll(() => console_).toContain('hi');

  const curl = run('sh', ['-c', await code('curl')]);
  await expect.poll(curl, STARTED).toContain('"offset":');

  const dir = mkdtempSync(join(tmpdir(), 'snippet-'));
  symlinkSync(join(import.meta.dirname, '../node_modules'), join(dir, 'node_modules'));
  writeFileSync(join(dir, 'snippet.mjs'), await code('socketio'));
  printed.socketio = run('node', [join(dir, 'snippet.mjs')]);
  await expect.poll(printed.socketio, STARTED).toContain('hi from Socket.IO');

  if (python !== '') {
    printed.python = run('python3', ['-c', await code('python')], { PYTHONPATH: python });
    await expect.poll(printed.python, STARTED).toContain('hi from Python');
  }

  await say(ada, 'to all of them');
  for (const [word, text] of Object.entries(printed)) {
    await expect.poll(text, { ...STARTED, message: word }).toContain('to all of them');
  }
  // Both in the page heard it: one each.
  await expect.poll(() => console_.filter((text) => text === 'to all of them')).toHaveLength(2);
  const said = ['hi', 'hello from curl', 'hi from Socket.IO', ...(python ? ['hi from Python'] : [])];
  await expect(texts(ada)).toHaveText([...said, 'to all of them']);
  rmSync(dir, { recursive: true });
});
