// Two hubs on one log on NATS, behind a balancer that brings every request to the next of them, as docs/operating.md has it.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { Server } from './server.js';

export type Balancer = 'nginx' | 'haproxy';

/** The program that is named, or is in its place; empty where there is none. */
function found(named: string | undefined, place: string): string {
  return named ?? (existsSync(place) ? place : '');
}

const nats = process.env.HUBBUB_NATS ?? '';
const programs = {
  nginx: found(process.env.HUBBUB_NGINX, '/usr/sbin/nginx'),
  haproxy: found(process.env.HUBBUB_HAPROXY, '/usr/sbin/haproxy'),
};

/** Whether there is what two hubs behind this one need. */
export const isThere = (balancer: Balancer): boolean => nats !== '' && programs[balancer] !== '';

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

const page = readFileSync(join(import.meta.dirname, '../../docs/operating.md'), 'utf8');

/** What docs/operating.md has within its text. */
function inText(what: RegExp): string {
  return new RegExp(`\`(${what.source})\``).exec(page)![1];
}

/** What it has in this language, block by block. */
function documented(language: string): string[] {
  return [...page.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map(([, block]) => block);
}

function edited(text: string, ...edits: [from: RegExp, to: string][]): string {
  for (const [from, to] of edits) {
    if (!from.test(text)) throw new Error(`${from} is not in ${text}`);
    text = text.replace(from, () => to);
  }
  return text;
}

/** The file of a balancer at this port, without TLS. */
const files = {
  nginx: (port: number, dir: string) => {
    const [site, upstreams] = documented('nginx');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${dir}/${one};`);
    const here = edited(
      site,
      [/^upstream hubbub \{[^]*?\n\}/, upstreams],
      [/listen 443 ssl http2;/, `listen 127.0.0.1:${port};`],
      [/ssl_certificate .*\n.*;/, inText(/location \/socket.io\/ \{.*?\}/) + inText(/proxy_connect_timeout .*?;/)],
    );
    return `daemon off; master_process off; pid ${dir}/pid; error_log stderr;
      events { worker_connections 512; }
      http { access_log off; ${temporary.join(' ')} ${here} }`;
  },
  haproxy: (port: number) => {
    const [site, backends, rules] = documented('haproxy');
    const second = backends.match(/^  server hub-2 .*\n/m)![0];
    return `global\n  maxconn 512\n${edited(
      site,
      [/^backend hubbub\n.*\n/m, backends],
      [/^  use_backend events/m, `${rules}  use_backend events`],
      [/^backend events\n.*\n/m, `backend events\n  server hub-1 hub-1:3000 check\n${second}`],
      [/bind :443 .*/, `bind 127.0.0.1:${port}`],
    )}`;
  },
};

const flags = {
  nginx: (file: string) => ['-c', file, '-e', 'stderr'],
  haproxy: (file: string) => ['-f', file, '-db'],
};

/** Both hubs, as if they were one. */
export class Hubs extends Server {
  private readonly hubs = [new Server(), new Server()];
  private beside: ChildProcess[] = [];

  constructor(private readonly balancer: Balancer) {
    super();
  }

  /** Starts both with these flags; the first time what is around them, too. */
  override async start(...flags: string[]): Promise<void> {
    if (!this.address) await this.surround();
    await Promise.all(this.hubs.map((hub) => hub.start(...this.onNats, ...flags)));
    // What has ended is left alone for a while.
    const isReady = async () => (await fetch(this.url('/readyz')).catch(() => undefined))?.status === 200;
    while (!(await isReady())) await new Promise((done) => setTimeout(done, 50));
  }

  override async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await Promise.all(this.hubs.map((hub) => hub.stop(signal)));
  }

  override async end(): Promise<void> {
    this.beside.forEach((child) => child.kill('SIGKILL'));
    await Promise.all(this.hubs.map((hub) => hub.end()));
    await super.end();
  }

  private onNats: string[] = [];

  private async surround(): Promise<void> {
    const [queue, balancer, ...ports] = await Promise.all([0, 0, 0, 0].map(freePort));
    this.onNats = ['--broker', `nats://127.0.0.1:${queue}`];
    this.beside.push(spawn(nats, ['-js', '-a', '127.0.0.1', '-p', `${queue}`, '-sd', join(this.dir, 'nats')]));
    await listens(queue);
    this.hubs.forEach((hub, n) => (hub.address = `127.0.0.1:${ports[n]}`));
    const own = join(this.dir, 'balancer');
    mkdirSync(own);
    let file = files[this.balancer](balancer, own);
    ports.forEach((port, n) => (file = file.replaceAll(`hub-${n + 1}:3000`, `127.0.0.1:${port}`)));
    writeFileSync(join(own, 'conf'), file);
    this.address = `127.0.0.1:${balancer}`;
    const child = spawn(programs[this.balancer], flags[this.balancer](join(own, 'conf')));
    let printed = '';
    child.stderr.on('data', (data) => (printed += data));
    child.on('exit', (code) => code === null || console.log(`${this.balancer} ended (${code}): ${printed}`));
    this.beside.push(child);
    await listens(balancer);
  }
}

/** Waits until somebody takes a connection there. */
async function listens(port: number): Promise<void> {
  const answers = () =>
    new Promise<boolean>((done) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.once('connect', () => done(true)).once('error', () => done(false));
      socket.once('connect', () => socket.destroy());
    });
  while (!(await answers())) await new Promise((done) => setTimeout(done, 50));
}
