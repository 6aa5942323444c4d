// The contract with the smallest clients: Node's `ws`, Python's `websockets` and a page.
import { spawn } from 'node:child_process';
import { WebSocket as NodeSocket } from 'ws';
import { expect, open, python as packages, STARTED, say, test, texts } from './support.js';

const PYTHON = `
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main():
    async with connect(sys.argv[1]) as socket:
        await socket.send(json.dumps({"type": "message", "params": {"value": "hi from python"}}))
        async for frame in socket:
            frame = json.loads(frame)
            assert frame["type"] == "message", frame
            print(frame["params"]["value"], flush=True)
            if frame["params"]["value"] == "bye": return

asyncio.run(main())
`;

test('node, python and a browser in the lobby hear each other', async ({ person, server }) => {
  test.skip(packages === '', 'there is no Python 3 with websockets here');
  const ada = await person();
  await open(ada, '/rooms/lobby');

  const node = new NodeSocket(`ws://${server.address}/ws`);
  const heard: string[] = [];
  node.on('message', (data) => {
    const frame = JSON.parse(data.toString());
    expect(frame.type).toBe('message');
    heard.push(frame.params.value);
  });
  await new Promise((resolve) => node.once('open', resolve));
  node.send('{"type":"message","params":{"value":"hi from node"}}');
  await expect(texts(ada)).toHaveText(['hi from node']);

  const env = { ...process.env, PYTHONPATH: packages };
  const python = spawn('python3', ['-c', PYTHON, `ws://${server.address}/ws`], { env });
  let printed = '';
  python.stdout.on('data', (data) => (printed += data));
  python.stderr.on('data', (data) => (printed += data));
  const ended = new Promise((resolve) => python.once('close', resolve));
  await expect(texts(ada)).toHaveText(['hi from node', 'hi from python'], STARTED);

  await say(ada, 'bye');
  expect(await ended, printed).toBe(0);
  expect(printed.trim().split('\n')).toEqual(['hi from python', 'bye']);
  await expect.poll(() => heard).toEqual(['hi from node', 'hi from python', 'bye']);
  node.close();
});

test('a client in a page needs nothing but WebSocket', async ({ person }) => {
  const ada = await person();
  await open(ada, '/');
  const heard = await ada.evaluate(
    () =>
      new Promise((resolve) => {
        const socket = new WebSocket(`ws://${location.host}/ws`);
        socket.onopen = () => socket.send('{"type":"message","params":{"value":"hi"}}');
        socket.onmessage = (event) => resolve(JSON.parse(event.data).params.value);
      }),
  );
  expect(heard).toBe('hi');
});
