// The description of the HTTP API, made from the handlers, is held against the running server: every
// request it allows is made up by the hundred, and every answer has to be as it says.
import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, python, test } from './support.js';

const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'unsupported_method',
];

test('the API is as it is described', async ({ server }) => {
  test.skip(python === '', 'there is no Python 3 with schemathesis here');
  test.setTimeout(600_000);
  const described = await (await fetch(server.url('/api/openapi.json'))).json();
  expect(Object.keys(described.paths)).toHaveLength(17);
  const args = ['-m', 'schemathesis.cli', 'run', server.url('/api/openapi.json')];
  // An event stream does not end; what it says is tested elsewhere.
  args.push('--exclude-path-regex', 'events$', '--checks', CHECKS.join(), '--request-timeout', '70');
  // How fast requests are made up says something about the machine alone.
  args.push('--suppress-health-check', 'too_slow');
  // Whoever manages all is let through to what backends do.
  const token = execFileSync('./hubbub', ['token', '--manage', '*'], { cwd: server.dir, env: {}, encoding: 'utf8' });
  args.push('--header', `Authorization: Bearer ${token.trim()}`);
  // A long poll may wait for a minute, and many are made.
  writeFileSync(join(server.dir, 'schemathesis.toml'), '[parameters]\nwait = [0, 1]\n');
  const child = spawn('python3', [...args, '--max-examples', '50', '--no-color'], {
    cwd: server.dir,
    env: { ...process.env, PYTHONPATH: python },
  });
  let printed = '';
  child.stdout.on('data', (data) => (printed += data));
  child.stderr.on('data', (data) => (printed += data));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect(code, printed).toBe(0);
  expect(printed).toMatch(/Tested: 22/);
});
