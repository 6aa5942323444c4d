// Two browsers that reach each other by a relay alone, through a real TURN server.
import type { Page } from '@playwright/test';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { join as joinCall, press, seesMoving, withDevices } from './call.js';
import { expect, open, say, test, texts } from './support.js';

const turnserver = process.env.HUBBUB_TURNSERVER ?? ['/usr/bin/turnserver'].find(existsSync) ?? '';
const SECRET = 'a secret of this test alone';

test.use({ launchOptions: withDevices('--use-fake-ui-for-media-stream') });
test.skip(!turnserver, 'there is no coturn here');

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
  const { port } = socket.address();
  await new Promise<void>((done) => socket.close(done));
  return port;
}

/** Asks a STUN server how it sees us until it answers (RFC 8489, section 6). */
async function answers(port: number): Promise<void> {
  const request = Buffer.alloc(20);
  request.writeUInt16BE(1, 0);
  request.writeUInt32BE(0x2112a442, 4);
  const socket = createSocket('udp4');
  const asking = setInterval(() => socket.send(request, port, '127.0.0.1'), 50);
  await new Promise<void>((done) => socket.once('message', () => done()));
  clearInterval(asking);
  socket.close();
}

/** coturn on loopback, with this secret. */
async function startTurn(secret: string): Promise<{ url: string; process: ChildProcess }> {
  const port = await freePort();
  const child = spawn(turnserver, [
    '-n', '--listening-ip', '127.0.0.1', '--relay-ip', '127.0.0.1', '--listening-port', String(port),
    '--use-auth-secret', '--static-auth-secret', secret, '--realm', 'hubbub.test',
    // Its own machine is the other side here; elsewhere this would open it to everybody.
    '--allow-loopback-peers', '--no-cli', '--no-tls', '--no-dtls', '--log-file', 'stdout',
  ]);
  let told = '';
  child.stdout.on('data', (data) => (told += data));
  const ended = new Promise<never>((_, failed) =>
    child.on('exit', (code) => failed(new Error(`coturn ended (${code}): ${told}`))),
  );
  await Promise.race([ended, answers(port)]);
  // From now on it may end.
  ended.catch(() => {});
  return { url: `turn:127.0.0.1:${port}?transport=udp`, process: child };
}

/** No way of its own: relays alone. */
async function byRelaysAlone(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const made: RTCPeerConnection[] = [];
    const Browsers = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Browsers {
      constructor(configuration?: RTCConfiguration) {
        super({ ...configuration, iceTransportPolicy: 'relay' });
        made.push(this);
      }
      override setConfiguration(configuration?: RTCConfiguration) {
        super.setConfiguration({ ...configuration, iceTransportPolicy: 'relay' });
      }
    };
    Object.assign(window, { made });
  });
}

/** By what kinds of candidates the connection that is used goes. (A pair is not "succeeded" while its next check is out.) */
const kinds = (page: Page) =>
  page.evaluate(async () => {
    const { made } = window as unknown as { made: RTCPeerConnection[] };
    const stats = await made.at(-1)!.getStats();
    const transport = [...stats.values()].find((row) => row.type === 'transport');
    const pair = stats.get(transport?.selectedCandidatePairId);
    return [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => stats.get(id)?.candidateType);
  });

for (const [what, theirs] of [['the same', SECRET], ['another', 'not the secret of the hub']] as const) {
  test(`with a TURN server of ${what} secret`, async ({ person, server }) => {
    test.setTimeout(240_000);
    const turn = await startTurn(theirs);
    try {
      await server.stop();
      const file = join(server.dir, 'turn.secret');
      writeFileSync(file, `${SECRET}\n`, { mode: 0o600 });
      await server.start('--turn', turn.url, '--turn-secret', file);
      const [ada, bob] = [await person(), await person()];
      for (const page of [ada, bob]) {
        await byRelaysAlone(page);
        await open(page, '/rooms/tea');
      }
      for (const page of [ada, bob]) await page.getByRole('button', { name: /^Write to .* alone$/ }).click();
      const works = theirs === SECRET;
      const road = works ? 'direct' : 'relayed';
      await expect(ada.locator('.addressee')).toHaveAttribute('data-road', road, { timeout: 150_000 });
      if (works) expect(await kinds(ada)).toEqual(['relay', 'relay']);
      await say(ada, 'hello');
      await expect(texts(bob)).toHaveText(['hello']);
      await expect(bob.locator('.message .way')).toContainText([road]);
      if (works) {
        for (const page of [ada, bob]) await joinCall(page);
        await press(ada, 'Camera on');
        await seesMoving(bob, '.tile:not(.mine) video.face:not(.unseen)', 1);
        expect(await kinds(bob)).toEqual(['relay', 'relay']);
      }
    } finally {
      turn.process.kill('SIGKILL');
    }
  });
}

test('only somebody is told how to reach a TURN server, and the secret is told to nobody', async ({ server }) => {
  await server.stop();
  const file = join(server.dir, 'turn.secret');
  writeFileSync(file, `${SECRET}\n`);
  const stun = 'stun:stun.example.org:3478';
  await server.start('--turn', 'turn:turn.example.org', '--turn-secret', file, '--stun', stun);
  expect((await fetch(server.url('/api/ice'))).status).toBe(401);
  const given = await (await fetch(server.url('/api/token'), { method: 'POST' })).json();
  const headers = { authorization: `Bearer ${given.token}` };
  const text = await (await fetch(server.url('/api/ice'), { headers })).text();
  const ice = JSON.parse(text);
  expect(ice.iceServers[0]).toEqual({ urls: [stun] });
  expect(ice.iceServers[1]).toMatchObject({ urls: ['turn:turn.example.org'] });
  expect(ice.iceServers[1].username).toBe(`${ice.expiresAt / 1000}:${given.member.id}`);
  expect(text + (await (await fetch(server.url('/rooms/tea'))).text())).not.toContain(SECRET);
});
