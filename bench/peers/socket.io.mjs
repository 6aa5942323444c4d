// Socket.IO's own server: what anybody says goes to all who are there.
import { createRequire } from 'node:module';

const [port, packages] = process.argv.slice(2);
const { Server } = createRequire(`${packages}/`)('socket.io');
const { createServer } = await import('node:http');
const http = createServer();
const io = new Server(http, { perMessageDeflate: false });
io.on('connection', (socket) => socket.on('message', (text) => io.emit('message', text)));
http.listen(Number(port), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`));
