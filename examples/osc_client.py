"""Stems by OSC: asks a running service for the stems of a file, and waits for them.

    stembridge watch ~/Bounces --osc 9000
    python examples/osc_client.py 9000 "/home/you/Desktop/Mix 3.wav" --preset karaoke

The file may lie anywhere that the service can read. Every address is in docs/osc.md; any program
that speaks OSC can do the same. Answers come to the port that the question was sent from. Packets
can get lost: to ask once more does no harm, what is done is not done again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pythonosc.udp_client import SimpleUDPClient

PATIENCE_S = 30.0  # of silence, then it asks again


def main() -> int:
    """Asks for one file; returns the exit code."""
    parser = argparse.ArgumentParser(description="Stems of one file, by OSC.")
    parser.add_argument("port", type=int, help="as given to `stembridge watch --osc`")
    parser.add_argument("file", type=Path)
    parser.add_argument("--preset", help="name of a preset; else as the service does it")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()

    client = SimpleUDPClient(options.host, options.port)
    wanted = [str(options.file.absolute()), *([options.preset] if options.preset else [])]
    while True:
        client.send_message("/stembridge/split", wanted)
        for message in client.get_messages(PATIENCE_S):
            code = tell(message.address, message.params)
            if code is not None:
                return code
        print("no answer; asking again", file=sys.stderr)


def tell(address: str, arguments: list[object]) -> int | None:
    """Prints what came; the exit code when that was the last word."""
    word = address.rpartition("/")[2]
    if word == "progress":
        _, stage, share = arguments
        print(f"{stage} {share:.0%}")
    elif word == "done":
        print(arguments[0])  # the manifest; the stems lie beside it
        return 0
    elif word == "failed":
        print(arguments[1], file=sys.stderr)
        return 1
    else:
        print(word, *arguments[1:])
    return None


if __name__ == "__main__":
    sys.exit(main())
