// Stock Socket.IO clients, in JavaScript and Python: they know nothing of Hubbub.
import { spawn } from 'node:child_process';
import msgpack from 'socket.io-msgpack-parser';
import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';
import { expect, open, python, say, STARTED, test as base, texts, type Server } from './support.js';

type Options = Partial<ManagerOptions & SocketOptions>;
type Heard = [unknown, { id: string; from: { name: string }; to?: unknown; event?: string }];

const test = base.extend<{ join: (options?: Options) => Promise<Socket & { heard: Heard[] }> }>({
  join: async ({ server }, use) => {
    const sockets: Socket[] = [];
    await use(async (options) => {
      const socket = connect(server, options);
      sockets.push(socket);
      await new Promise<void>((resolve, reject) => {
        // With the hello it has a position to come back to.
        socket.once('hubbub:hello', () => resolve());
        socket.once('connect_error', reject);
      });
      return socket;
    });
    for (const socket of sockets) socket.disconnect();
  },
});

function connect(server: Server, options: Options = {}, path = '/') {
  const auth = { room: 'tea' };
  const socket = io(server.url(path), { auth, forceNew: true, reconnectionDelay: 50, ...options });
  const heard: Heard[] = [];
  socket.onAny((event, value, meta) => {
    if (!event.startsWith('hubbub:')) heard.push([value, meta]);
  });
  return Object.assign(socket, { heard });
}

const values = (socket: { heard: Heard[] }) => socket.heard.map(([value]) => value);

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  test(`four ways to emit, over ${transports.join(' and then ')}`, async ({ join, person }) => {
    const page = await person();
    await open(page, '/rooms/tea');
    const [ada, bob, eve] = [await join({ transports }), await join({ transports }), await join()];
    ada.emit('message', 'to all');
    ada.emit('message', 'all but me', { to: 'others' });
    ada.emit('message', 'only me', { to: 'self' });
    ada.emit('message', 'only bob', { to: [bob.id] });
    const answer = await ada.emitWithAck('move', { x: 1 }, { id: 'm1' });
    expect(answer).toEqual({ id: 'm1', offset: expect.any(Number), position: expect.stringMatching(/:\d+$/) });
    await expect.poll(() => values(ada)).toEqual(['to all', 'only me', { x: 1 }]);
    await expect.poll(() => values(bob)).toEqual(['to all', 'all but me', 'only bob', { x: 1 }]);
    await expect.poll(() => values(eve)).toEqual(['to all', 'all but me', { x: 1 }]);
    expect(eve.heard[2][1]).toMatchObject({ id: 'm1', event: 'move', room: 'tea', from: { name: expect.stringMatching(/^guest-/) } });
    await expect(texts(page).first()).toHaveText('to all');
    await say(page, 'from the page');
    await expect.poll(() => values(eve).at(-1)).toBe('from the page');
  });

  test(`a restart, over ${transports.join(' and then ')}: recovered from the log`, async ({ join, server }) => {
    const [ada, bob] = [await join({ transports }), await join({ transports })];
    const id = ada.id;
    // Nothing was said before: there is a position all the same.
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      // Killed in the middle of an upgrade, the client waits for its heartbeat's time to pass.
      for (const socket of [ada, bob]) {
        await expect.poll(() => socket.io.engine.transport.name).toBe(transports.at(-1));
      }
      const gone = new Promise((resolve) => ada.once('disconnect', resolve));
      const back = new Promise<void>((resolve) => ada.once('connect', () => resolve()));
      await server.stop(signal);
      await gone;
      await server.start();
      const said = await fetch(server.url('/api/rooms/tea/messages'), { method: 'POST', body: signal, headers: { 'content-type': 'text/plain' } });
      expect(said.status).toBe(200);
      await back;
      expect([ada.recovered, ada.id]).toEqual([true, id]);
    }
    await expect.poll(() => values(ada)).toEqual(['SIGTERM', 'SIGKILL']);
    await expect.poll(() => values(bob)).toEqual(['SIGTERM', 'SIGKILL']);
  });
}

test('what is refused is told, and the connection is well', async ({ join, server }) => {
  const ada = await join();
  expect(await ada.emitWithAck('message', '')).toMatchObject({ error: { code: 'invalid_field', field: 'value' } });
  expect(await ada.emitWithAck('message', Buffer.from('bytes'))).toMatchObject({ error: { code: 'binary_frame' } });
  const refused = new Promise((resolve) => ada.once('hubbub:error', resolve));
  ada.emit('message', 'x'.repeat(20_000));
  expect(await refused).toMatchObject({ code: 'too_long', field: 'value', limit: 16384 });
  ada.emit('message', 'well');
  await expect.poll(() => values(ada)).toEqual(['well']);

  for (const [options, path, message] of [
    [{}, '/other', 'Invalid namespace'],
    [{ auth: { room: 'a/b' } }, '/', '`room` has a `/`'],
    [{ auth: { token: 'forged' } }, '/', "the token can't be read: InvalidToken"],
  ] as const) {
    const socket = connect(server, options, path);
    const error = await new Promise<Error>((resolve) => socket.once('connect_error', resolve));
    expect(error.message).toBe(message);
    socket.disconnect();
  }
});

test('who is here and who is typing is told, and a name can be taken', async ({ join, person }) => {
  const page = await person();
  await open(page, '/rooms/tea');
  const ada = await join();
  ada.emit('hubbub:rename', { name: 'Ada the program' });
  await expect(page.locator('.member-name')).toContainText(['Ada the program']);
  ada.emit('hubbub:typing');
  await expect(page.getByText('Ada the program is writing…')).toBeVisible();
  let count = 0;
  ada.on('hubbub:members', (members: { count: number }) => (count = members.count));
  await open(await person(), '/rooms/tea');
  await expect.poll(() => count).toBe(3);
});

test('the client of Socket.IO in Python', async ({ person, server }) => {
  test.skip(python === '', 'there is no Python 3 with python-socketio here');
  const page = await person();
  await open(page, '/rooms/tea');
  const program = `
import socketio, sys
client = socketio.Client()

def tell(line):
    # In one piece: handlers run in threads of their own.
    sys.stdout.write(line + "\\n")
    sys.stdout.flush()

@client.on("message")
def heard(value, meta, position):
    tell(meta["from"]["name"] + " " + value)
    if value == "bye": client.disconnect()

client.connect(sys.argv[1], auth={"room": "tea"}, transports=sys.argv[2:])
tell(str(client.call("message", "hi from python", timeout=30)["offset"]))
client.wait()
`;
  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    const args = ['-c', program, server.url('/'), ...transports];
    const child = spawn('python3', args, { env: { ...process.env, PYTHONPATH: python } });
    let printed = '';
    child.stdout.on('data', (data) => (printed += data));
    child.stderr.on('data', (data) => (printed += data));
    const ended = new Promise((resolve) => child.once('close', resolve));
    await expect.poll(() => printed, STARTED).toMatch(/guest-\S+ hi from python/);
    await expect.poll(() => printed, STARTED).toMatch(/^\d+$/m);
    await say(page, 'bye');
    expect(await ended, printed).toBe(0);
    expect(printed).toContain(' bye');
  }
});

test('a client with another parser is told why it is not let in, in its own', async ({ server }) => {
  for (const transports of [['polling'], ['websocket']]) {
    const socket = connect(server, { parser: msgpack, transports });
    const error = await new Promise<Error>((resolve) => socket.once('connect_error', resolve));
    expect(error.message).toBe('packets are JSON here: leave the option `parser` out');
    socket.disconnect();
  }
});

test('a client that sends no `pid` goes on from the position it says', async ({ server }) => {
  test.skip(python === '', 'there is no Python 3 with python-socketio here');
  // As docs/protocol.md has it.
  const program = `
import socketio, sys, threading
client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2)
at, newest, lock = {}, [0], threading.Lock()

@client.on("*")
def heard(event, *args):
    if event == "hubbub:hello":
        at.setdefault("after", args[1])
        sys.stderr.write("here\\n")
        sys.stderr.flush()
    elif not event.startswith("hubbub:"):
        value, meta, position = args
        # This client hands each event to a thread of its own, and they come in any order.
        with lock:
            if meta["offset"] > newest[0]:
                newest[0], at["after"] = meta["offset"], position
            sys.stdout.write(str(meta["offset"]) + " " + value + "\\n")
            sys.stdout.flush()

client.connect(sys.argv[1], auth=lambda: {"room": "tea", **at}, wait_timeout=60)
client.wait()
`;
  const child = spawn('python3', ['-c', program, server.url('/')], { env: { ...process.env, PYTHONPATH: python } });
  let [printed, told] = ['', ''];
  child.stdout.on('data', (data) => (printed += data));
  child.stderr.on('data', (data) => (told += data));
  const post = (text: string) =>
    fetch(server.url('/api/rooms/tea/messages'), { method: 'POST', headers: { 'content-type': 'text/plain' }, body: text });
  // With the hello it has a position to go on from.
  await expect.poll(() => told, STARTED).toContain('here');
  const said: string[] = [];
  for (let n = 0; n < 4; n++) {
    for (const word of ['before', 'after']) {
      said.push(`${word} ${n}`);
      await post(`${word} ${n}`);
    }
    // What is said while it is away comes as well.
    await server.stop('SIGKILL');
    await server.start();
  }
  const byOffset = (one: string, other: string) => parseInt(one) - parseInt(other);
  const heard = () => printed.trim().split('\n').sort(byOffset).map((line) => line.replace(/^\d+ /, ''));
  await expect.poll(heard, { timeout: 60_000 }).toEqual(said);
  child.kill();
});
