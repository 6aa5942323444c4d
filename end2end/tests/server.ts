// The real binary as a process of its own.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const target = join(import.meta.dirname, '../../target');

function binary(): string {
  const built = ['release', 'debug']
    .map((profile) => join(target, profile, 'hubbub'))
    .filter(existsSync)
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  const found = process.env.HUBBUB_BIN ?? built[0];
  if (!found) throw new Error('no hubbub binary: run `cargo xtask build` first');
  return found;
}

/** One `hubbub`, alone in an empty directory. */
export class Server {
  readonly dir = mkdtempSync(join(tmpdir(), 'hubbub-'));
  address = '';
  private process?: ChildProcess;

  constructor() {
    copyFileSync(binary(), join(this.dir, 'hubbub'));
  }

  /** Starts it with these flags, on the port it had before if it had one. */
  async start(...flags: string[]): Promise<void> {
    const listen = this.address || '127.0.0.1:0';
    const child = spawn('./hubbub', ['--listen', listen, ...flags], { cwd: this.dir, env: {} });
    this.process = child;
    let printed = '';
    this.address = await new Promise((resolve, reject) => {
      child.stdout.on('data', (data) => {
        printed += data;
        const line = /^listening on https?:\/\/(\S+)$/m.exec(printed);
        if (line) resolve(line[1]);
      });
      child.stderr.on('data', (data) => (printed += data));
      child.on('exit', (code) => reject(new Error(`hubbub ended (${code}): ${printed}`)));
    });
  }

  /** Ends it and waits until it has. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** Ends it for good. */
  async end(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.dir, { recursive: true });
  }

  url(path: string): string {
    return `http://${this.address}${path}`;
  }

  /** A token of the server's own, made from a shell as its operator would. */
  token(...flags: string[]): string {
    return execFileSync('./hubbub', ['token', ...flags], { cwd: this.dir, env: {}, encoding: 'utf8' }).trim();
  }
}
