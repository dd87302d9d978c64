"""Page and Server: the commands that make a meshcat page, kept for a file and sent to a browser.

A command sets one thing at one path of the scene's tree, {"type": "set_transform", "path": "/arm/3", "matrix": [...]}.

meshcat's own client waits for the server's answer after each command, which costs a plant step or two in every picture, and
its server listens on every network interface. Here answers are counted and not waited for, and the server listens to this
machine alone.
"""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import meshcat
import umsgpack
import zmq

from dvp_mpc.errors import RunFailed

Command = dict[str, Any]

VIEWER = Path(meshcat.__file__).parent / "viewer" / "dist" / "main.min.js"
# Two repairs of meshcat's server: it listens to this machine alone, and it answers "wait" through the stream, past which it
# would answer once and then never again notice a message. Its standard input ends with this process, however that ends.
SERVER = """
import os, sys, threading
import tornado.web
from meshcat.servers import zmqserver

listen = tornado.web.Application.listen
tornado.web.Application.listen = lambda self, port, **options: listen(self, port, address="127.0.0.1", **options)

def wait(bridge):
    if bridge.websocket_pool:
        bridge.zmq_stream.send(b"ok")
    else:
        bridge.ioloop.call_later(0.1, bridge.wait_for_websockets)

zmqserver.ZMQWebSocketBridge.wait_for_websockets = wait
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
zmqserver.main()
"""
HTML = """<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ margin: 0 }} #meshcat-pane {{ width: 100vw; height: 100vh; overflow: hidden }}</style></head>
<body><div id="meshcat-pane"></div>
<script>{viewer}</script>
<script>
const viewer = new MeshCat.Viewer(document.getElementById("meshcat-pane"));
for (const text of [{commands}])
  viewer.handle_command_bytearray(Uint8Array.from(atob(text), c => c.charCodeAt(0)));
</script></body></html>
"""


class Page:
    """The scene as the last command of each kind left it."""

    def __init__(self) -> None:
        self._commands: dict[tuple[str, str, str], bytes] = {}

    def send(self, command: Command) -> bytes | None:
        """Take a command; returns it as it goes over the wire, None when it changes nothing."""
        key, data = (command["type"], command["path"], command.get("property", "")), bytes(umsgpack.packb(command))
        if self._commands.get(key) == data:
            return None
        self._commands[key] = data
        return data

    def html(self, title: str) -> str:
        """The scene in one file that needs nothing else, neither a server nor the internet."""
        # In order and at once, unlike meshcat's own file: it decodes with `fetch`, and a property may overtake its object.
        commands = ",\n".join(f'"{base64.b64encode(data).decode()}"' for data in self._commands.values())
        return HTML.format(title=title, viewer=VIEWER.read_text(encoding="utf-8"), commands=commands)


class Server:
    """A page that browsers on this machine can open while it changes. `close` ends it."""

    def __init__(self) -> None:
        self.page = Page()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the simulation
        )
        facts: dict[str, str] = {}
        while self._process.stdout is not None and "web_url" not in facts:
            line = self._process.stdout.readline()
            if not line:
                raise RunFailed("the viewer's server did not start: python -m meshcat.servers.zmqserver says why")
            name, _, fact = line.strip().partition("=")
            facts[name] = fact
        self.url = facts["web_url"]
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(facts["zmq_url"])
        self._unanswered = 0

    def send(self, command: Command) -> None:
        """Show a command's effect soon."""
        data = self.page.send(command)
        if data is not None:
            self._request(command["type"].encode(), command["path"].encode(), data)

    def caught_up(self, timeout: float = 0.0) -> bool:
        """Whether everything sent has been taken, at the latest `timeout` [s] from now."""
        while self._unanswered and self._socket.poll(round(1000 * timeout)):
            self._socket.recv_multipart()
            self._unanswered -= 1
        return self._unanswered == 0

    def wait_for_browser(self, timeout: float) -> bool:
        """Whether a browser has opened the page, at the latest `timeout` [s] from now."""
        self._request(b"wait")
        return self.caught_up(timeout)

    def _request(self, *frames: bytes) -> None:
        self._socket.send_multipart([b"", *frames])
        self._unanswered += 1

    def close(self) -> None:
        """End the server; open pages keep their last picture. A second call does nothing."""
        if self._process.poll() is None:
            self.caught_up(1.0)
        self._context.destroy(linger=0)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
