// Autobahn's cases for WebSocket servers, driven by kosoku, against an echo over our WebSockets.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, python, test } from './support.js';

// `cargo test` builds the examples, too.
const profiles = ['debug', 'release'].map((profile) =>
  join(import.meta.dirname, '../../target', profile, 'examples/websocket_echo'),
);
const echo = profiles.find(existsSync);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('every case of the WebSocket conformance suite passes', async () => {
  test.skip(python === '' || !echo, 'there is no Python 3 with kosoku, or no example, here');
  test.setTimeout(300_000);
  const address = `127.0.0.1:${await freePort()}`;
  const server = spawn(echo!, [address.split(':')[1]]);
  const reports = mkdtempSync(join(tmpdir(), 'kosoku-'));
  // 12 and 13 are compression, which no client is offered: docs/decisions/0009.
  const args = ['-p', '8', '-x', '12.*', '-x', '13.*', '-o', reports, address];
  await expect.poll(() => fetch(`http://${address}/`).then(() => true, () => false)).toBe(true);
  const suite = spawn(join(python, 'bin/kosoku'), args, { env: { ...process.env, PYTHONPATH: python } });
  let printed = '';
  suite.stdout.on('data', (data) => (printed += data));
  suite.stderr.on('data', (data) => (printed += data));
  const code = await new Promise((resolve) => suite.once('close', resolve));
  server.kill();
  rmSync(reports, { recursive: true });
  expect([code, printed]).toEqual([0, expect.stringContaining('301 cases passed')]);
});
