// Real Chromium against the real binary. `cargo xtask test` names both; `cargo leptos end-to-end` and
// a plain `npx playwright test` find them themselves.
import { defineConfig } from '@playwright/test';
import { existsSync } from 'node:fs';
import { isThere, type Balancer } from './tests/hubs.js';
import type { Options } from './tests/support.js';

const chromium =
  process.env.HUBBUB_CHROMIUM ??
  ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** What goes from hub to hub is tried at two as well, where there is what they need. */
const balancers: [Balancer, RegExp][] = [
  ['nginx', /(socketio|roads|clients|outbox|direct|call)\.spec/],
  ['haproxy', /socketio\.spec/],
];
const behind = balancers.filter(([balancer]) => isThere(balancer));

export default defineConfig<Options>({
  testDir: './tests',
  fullyParallel: true,
  workers: 2,
  forbidOnly: !!process.env.CI,
  // A test that fails now and then has found a race.
  retries: 0,
  // Long enough for a machine that is five times slower: who passes does not wait for it.
  timeout: 150_000,
  expect: { timeout: 20_000 },
  reporter: process.env.CI ? [['list'], ['html', { open: 'never' }]] : 'list',
  projects: [
    { name: 'one hub' },
    ...behind.map(([balancer, testMatch]) => ({ name: `two hubs behind ${balancer}`, testMatch, use: { balancer } })),
  ],
  use: {
    // A quarter of the time: `npx playwright test --trace retain-on-failure`, for whoever looks for what has failed.
    trace: 'off',
    launchOptions: {
      executablePath: chromium,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
});
