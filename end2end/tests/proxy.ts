// A proxy between a page and the server, as bad as those in the wild. Real sockets and real HTTP: how
// a browser takes a lost answer or a dead socket, what it sends again by itself, is part of the test.
import { createServer, request, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { pipeline, Transform } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** What is wrong with the way to the server; nothing, unless it is said. Times are milliseconds. */
export type Adversity = {
  /** Takes the upgrade out of a request, as a proxy does that knows only HTTP. */
  stripUpgrade?: boolean;
  /** Ends an upgraded connection this long after its 101. */
  killUpgradedAfter?: number;
  /** Lets an upgrade through and swallows what the server says after it, its end too. */
  muteUpgraded?: boolean;
  /** Holds back what an event stream says until it ends. */
  bufferStreams?: boolean;
  /** Answers 403 instead of an event stream. */
  refuseStreams?: boolean;
  /** Ends every connection, upgraded or not, this long after it was accepted. */
  cutEverythingAfter?: number;
  /** Everything comes this much later, in each direction. */
  latency?: number;
  /**
   * Ends the connection of every second request or upgrade before the server sees it, and of every
   * fourth once the server has answered, without the answer.
   */
  dropHalf?: boolean;
};

type Fate = 'passes' | 'never arrives' | 'loses its answer';

/** These are about one connection; everything else is passed on as it is, `Host` too. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection'];

/** One proxy, in front of one server. */
export class Middlebox {
  address = '';
  /** May be changed at any time, and then holds for connections that are there already. */
  options: Adversity = {};
  private target = { host: '', port: 0 };
  private readonly sockets = new Map<Socket, { accepted: number; upgraded?: number }>();
  private readonly counts = new Map<string, number>();
  private carriedBefore = 0;
  private sweeper?: NodeJS.Timeout;
  // The timeout is one more adversity, which nobody asked for.
  private readonly http = createServer({ keepAliveTimeout: 0 });

  constructor() {
    this.http.on('connection', (socket: Socket) => {
      this.sockets.set(socket, { accepted: performance.now() });
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        this.carriedBefore += bytes(socket);
      });
    });
    this.http.on('request', (asked, answer) => this.pass(asked, answer));
    this.http.on('upgrade', (asked, _, head) => this.passUpgrade(asked, head));
  }

  /** Starts it, in front of the server at `host:port`. */
  async start(server: string): Promise<void> {
    const { hostname, port } = new URL(`http://${server}`);
    this.target = { host: hostname, port: Number(port) };
    await new Promise<void>((resolve) => this.http.listen(0, '127.0.0.1', resolve));
    this.address = `127.0.0.1:${(this.http.address() as AddressInfo).port}`;
    this.sweeper = setInterval(() => this.sweep(), 10);
  }

  /** Ends it, and every connection through it. */
  async close(): Promise<void> {
    clearInterval(this.sweeper);
    const closed = new Promise((resolve) => this.http.close(resolve));
    this.cut();
    await closed;
  }

  /** Ends every connection there is now. */
  cut(): void {
    for (const socket of this.sockets.keys()) socket.destroy();
  }

  /** How many bytes the pages behind it have sent and got so far, headers and all. */
  get carried(): number {
    return [...this.sockets.keys()].reduce((sum, socket) => sum + bytes(socket), this.carriedBefore);
  }

  url(path: string): string {
    return `http://${this.address}${path}`;
  }

  /** Ends the connections whose time is over. A timer for each would not see the options change. */
  private sweep(): void {
    const now = performance.now();
    const { cutEverythingAfter = Infinity, killUpgradedAfter = Infinity } = this.options;
    for (const [socket, { accepted, upgraded = Infinity }] of this.sockets) {
      if (now - accepted >= cutEverythingAfter || now - upgraded >= killUpgradedAfter) socket.destroy();
    }
  }

  /**
   * Counted for each method and path by itself: with one count for all, a page that asks and posts in
   * turn would lose every post there is.
   */
  private fate(asked: IncomingMessage): Fate {
    if (!this.options.dropHalf) return 'passes';
    const what = `${asked.method} ${asked.url?.split('?')[0]}`;
    const count = (this.counts.get(what) ?? 0) + 1;
    this.counts.set(what, count);
    if (count % 2 === 0) return 'never arrives';
    return count % 4 === 3 ? 'loses its answer' : 'passes';
  }

  private pass(asked: IncomingMessage, answer: ServerResponse): void {
    const fate = this.fate(asked);
    if (fate === 'never arrives') return void asked.socket.destroy();
    const asking = this.ask(asked, without(asked.rawHeaders, HOP_BY_HOP));
    answer.on('close', () => asking.destroy());
    pipeline(asked, this.late(), asking, () => {});
    asking.on('response', (answered) => {
      if (fate === 'loses its answer') return void asked.socket.destroy();
      const stream = answered.headers['content-type']?.startsWith('text/event-stream');
      if (stream && this.options.refuseStreams) {
        asking.destroy();
        return void answer.writeHead(403, { 'content-length': 0 }).end();
      }
      const headers = without(answered.rawHeaders, HOP_BY_HOP);
      answer.writeHead(answered.statusCode!, answered.statusMessage!, headers);
      // They would wait for the body, and a stream may be silent for long.
      setTimeout(() => answer.writableEnded || answer.flushHeaders(), this.options.latency);
      const held = stream && this.options.bufferStreams ? [holdBack()] : [];
      pipeline([answered, ...held, this.late(), answer], () => {});
    });
  }

  private passUpgrade(asked: IncomingMessage, head: Buffer): void {
    const client = asked.socket;
    const fate = this.fate(asked);
    if (fate === 'never arrives') return void client.destroy();
    const stripped = this.options.stripUpgrade ? [...HOP_BY_HOP, 'upgrade'] : [];
    const asking = this.ask(asked, without(asked.rawHeaders, stripped));
    client.on('close', () => asking.destroy());
    setTimeout(() => asking.end(), this.options.latency);
    const down = this.late();
    asking.on('response', (answered) => {
      if (fate === 'loses its answer') return void client.destroy();
      // The body comes without its chunks' sizes here; the end of the connection is its end.
      const headers = without(answered.rawHeaders, [...HOP_BY_HOP, 'transfer-encoding']);
      down.write(statusAndHeaders(answered, [...headers, 'Connection', 'close']));
      pipeline(answered, down, client, () => {});
    });
    asking.on('upgrade', (answered, upstream, first) => {
      if (fate === 'loses its answer') {
        upstream.destroy();
        return void client.destroy();
      }
      const socket = this.sockets.get(client);
      if (socket) socket.upgraded = performance.now();
      down.write(statusAndHeaders(answered, answered.rawHeaders));
      upstream.unshift(first);
      client.unshift(head);
      pipeline(upstream, this.mute(), down, client, () => {});
      pipeline(client, this.late(), upstream, () => {});
    });
  }

  private ask(asked: IncomingMessage, headers: string[]): ClientRequest {
    const { method, url } = asked;
    // Half-open: the client's end still has to get what is on its way when the server ends.
    const createConnection = () => connect({ ...this.target, noDelay: true, allowHalfOpen: true });
    const asking = request({ method, path: url, headers, createConnection });
    // What breaks behind breaks in front.
    asking.on('error', () => asked.socket.destroy());
    return asking;
  }

  /** Passes everything on, `latency` later, in order. */
  private late(): Transform {
    let before = Promise.resolve();
    const turn = (latency?: number) =>
      (before = Promise.all([before, latency && sleep(latency)]).then(() => {}));
    const late = new Transform({
      transform: (chunk, _, done) => {
        const { latency } = this.options;
        // What is on its way does not stop what comes behind it; otherwise the reader sets the pace.
        if (!latency) return void turn().then(() => done(null, chunk));
        void turn(latency).then(() => late.push(chunk));
        done();
      },
      flush: (done) => void turn(this.options.latency).then(() => done()),
    });
    return late;
  }

  /** Passes everything on until it is to be mute; what is torn once can't be mended. */
  private mute(): Transform {
    let mute = false;
    return new Transform({
      transform: (chunk, _, done) => {
        mute ||= !!this.options.muteUpgraded;
        done(null, mute ? undefined : chunk);
      },
      flush: (done) => void (mute || done()),
    });
  }
}

const bytes = ({ bytesRead, bytesWritten }: Socket) => bytesRead + bytesWritten;

/** Passes nothing on before the end. */
function holdBack(): Transform {
  const held: Buffer[] = [];
  return new Transform({
    transform: (chunk, _, done) => {
      held.push(chunk);
      done();
    },
    flush: (done) => done(null, Buffer.concat(held)),
  });
}

/** Headers as they came, name, value, name, value, but for some. */
function without(headers: string[], names: string[]): string[] {
  return headers.filter((_, n) => !names.includes(headers[n - (n % 2)].toLowerCase()));
}

function statusAndHeaders({ statusCode, statusMessage }: IncomingMessage, headers: string[]): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (let n = 0; n < headers.length; n += 2) lines.push(`${headers[n]}: ${headers[n + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
