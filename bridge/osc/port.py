"""A UDP port that reads and writes OSC. Whatever arrives there, it does no harm."""

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

#: Where a packet came from, as the system spells it; IPv6 has four parts.
Sender = tuple[str, int] | tuple[str, int, int, int]

_LARGEST_PACKET_BYTES = 65_535  # RFC 768: the length field has 16 bits
# How late the end of the service may be noticed.
_LOOK_S = 0.2


class Port:
    """A bound port that hears and answers; close it.

    Raises UsageError when it cannot be had.
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
        """Gives the port back."""
        logging.getLogger().removeFilter(_no_parser)
        self._socket.close()

    def receive(self) -> tuple[list[tuple[str, list[object]]], Sender] | None:
        """The messages of the next packet, address and arguments; None when none came for a while.

        A packet that is no OSC has no messages. Times in bundles are not waited for: a packet from
        who knows where could hold up everything for years.
        """
        try:
            data, sender = self._socket.recvfrom(_LARGEST_PACKET_BYTES)
        except OSError:  # nothing came; or an earlier answer found nobody, as Windows tells here
            return None
        return list(_read(data)), sender

    def send(self, message: Message, to: Sender) -> None:
        """Sends a message, or does not: nobody may be listening there any more."""
        with suppress(OSError):
            self._socket.sendto(_packet(message), to)


class ReplySocket:
    """A way to one endpoint, with a socket of its own: one that is bound to loopback stays there.

    Raises UsageError for a host that is not known. Close it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._socket, self._address = _socket_for(endpoint, "osc_reply")

    def close(self) -> None:
        """Ends it."""
        self._socket.close()

    def send(self, message: Message) -> None:
        """Sends a message, or does not."""
        with suppress(OSError):
            self._socket.sendto(_packet(message), self._address)


def _socket_for(endpoint: Endpoint, setting: str) -> tuple[socket.socket, Sender]:
    """A socket of the right family, not bound, and the endpoint's address."""
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
        family, *_, address = found[0]
        return socket.socket(family, socket.SOCK_DGRAM), address  # type: ignore[return-value]
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name
        raise UsageError(
            f"{setting}: there is no host {endpoint.host} ({error}); name another"
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
    except Exception:  # noqa: BLE001 the service's edge: anybody may send anything
        pass


def _no_parser(record: logging.LogRecord) -> bool:
    """Keeps the parser, which tells the root logger of every odd packet, from filling the log."""
    return record.module not in {"osc_message", "osc_bundle"}
