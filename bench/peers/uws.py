"""uWebSockets, by way of socketify: what anybody says goes to all who are there."""

import sys

from socketify import App, OpCode


def came(ws):
    ws.subscribe("all")


def said(ws, text, _):
    app.publish("all", text, OpCode.TEXT)


port = int(sys.argv[1])
app = App()
app.ws("/*", {"open": came, "message": said, "idle_timeout": 0, "compression": 0})
app.listen(
    {"host": "127.0.0.1", "port": port},
    lambda _: print(f"listening on http://127.0.0.1:{port}", flush=True),
)
app.run()
