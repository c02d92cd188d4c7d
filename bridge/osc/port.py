"""UDP sockets that receive and send OSC; malformed packets are ignored."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from bridge.errors import UsageError
from bridge.osc.messages import Message, osc_text
from bridge.system.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Socket address of a sender; IPv6 has four parts.
Sender = tuple[str, int] | tuple[str, int, int, int]

_LARGEST_PACKET_BYTES = 65_535  # RFC 768: the length field has 16 bits
# How late a stop of the service may be noticed.
_LOOK_S = 0.2


class Port:
    """A bound UDP port that receives and sends messages; close it.

    Raises UsageError when the port is not available.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._socket, address = _socket_for(endpoint, "osc")
        self._socket.settimeout(_LOOK_S)
        try:
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            raise UsageError(
                f"cannot listen for OSC on {endpoint} ({error.strerror or error}); "
                "choose another port"
            ) from None
        self.endpoint = Endpoint(endpoint.host, self._socket.getsockname()[1])
        logging.getLogger().addFilter(_no_parser)

    def close(self) -> None:
        """Close the port."""
        logging.getLogger().removeFilter(_no_parser)
        self._socket.close()

    def receive(self) -> tuple[list[tuple[str, list[object]]], Sender] | None:
        """Messages (address, arguments) of the next packet; None after a timeout.

        A malformed packet has no messages. Time tags of bundles are ignored, because a packet could
        otherwise block the port for years.
        """
        try:
            data, sender = self._socket.recvfrom(_LARGEST_PACKET_BYTES)
        except OSError:  # timeout; Windows also reports an undelivered answer here
            return None
        return list(_read(data)), sender

    def send(self, message: Message, to: Sender) -> None:
        """Send a message; errors are ignored, as the client may be gone."""
        with suppress(OSError):
            self._socket.sendto(_packet(message), to)


class ReplySocket:
    """Sends messages to one endpoint; close it.

    It has a socket of its own, because one that is bound to loopback cannot reach other hosts.
    Raises UsageError for an unknown host.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._socket, self._address = _socket_for(endpoint, "osc_reply")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, message: Message) -> None:
        """Send a message; errors are ignored."""
        with suppress(OSError):
            self._socket.sendto(_packet(message), self._address)


def _socket_for(endpoint: Endpoint, setting: str) -> tuple[socket.socket, Sender]:
    """An unbound socket of the endpoint's family, and its address."""
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
        family, *_, address = found[0]
        return socket.socket(family, socket.SOCK_DGRAM), address  # type: ignore[return-value]
    except (OSError, UnicodeError) as error:  # UnicodeError: invalid host name
        raise UsageError(
            f"{setting}: unknown host {endpoint.host} ({error}); name another"
        ) from None


def _packet(message: Message) -> bytes:
    builder = OscMessageBuilder(message.address)
    for argument in message.arguments:
        builder.add_arg(osc_text(argument) if isinstance(argument, str) else argument)
    return builder.build().dgram


def _read(data: bytes) -> Iterator[tuple[str, list[object]]]:
    try:
        for timed in OscPacket(data).messages:
            yield timed.message.address, timed.message.params
    except Exception:  # noqa: BLE001 packets are untrusted input
        pass


def _no_parser(record: logging.LogRecord) -> bool:
    """Log filter for the parser, which logs every malformed packet to the root logger."""
    return record.module not in {"osc_message", "osc_bundle"}
