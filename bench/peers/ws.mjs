// Node's ws: what anybody says goes to all who are there.
import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(new URL('../../end2end/', import.meta.url))('ws');
const port = Number(process.argv[2]);
const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false });
server.on('connection', (socket) =>
  socket.on('message', (text) => {
    for (const one of server.clients) one.send(text, { binary: false });
  }),
);
server.on('listening', () => console.log(`listening on http://127.0.0.1:${port}`));
