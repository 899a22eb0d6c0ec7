"""What a container engine does for a published port: passes on what comes to ADDRESS:PORT to a container.

usage: relay.py ADDRESS PORT TO_ADDRESS TO_PORT
"""

import contextlib
import socket
import sys
import threading


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def relay(client: socket.socket, to: tuple[str, int]) -> None:
    with client, contextlib.suppress(OSError), socket.create_connection(to) as server:
        back = threading.Thread(target=copy, args=(server, client))
        back.start()
        copy(client, server)
        back.join()


def main(address: str, port: str, to_address: str, to_port: str) -> None:
    with socket.create_server((address, int(port)), backlog=512) as listener:
        print("listening", flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=relay, args=(client, (to_address, int(to_port))), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
