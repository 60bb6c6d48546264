"""A mail server that takes every letter and appends it to a file."""

import pathlib
import socketserver
import sys


class Letter(socketserver.StreamRequestHandler):
    """One client of the least SMTP that a sender needs."""

    def handle(self):
        """Answer until the client leaves."""
        self.wfile.write(b"220 sink\r\n")
        while line := self.rfile.readline():
            word = line.strip().upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                with pathlib.Path(sys.argv[1]).open("ab") as box:
                    while (text := self.rfile.readline()) not in (b".\r\n", b""):
                        box.write(text)
                self.wfile.write(b"250 taken\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 yes\r\n")


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", 25), Letter).serve_forever()
