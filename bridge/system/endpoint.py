"""UDP endpoints of the OSC settings, written `[HOST:]PORT`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
OFF = "off"
_EXPECTED = "expected PORT, HOST:PORT or [IPV6]:PORT, as in 9000"
_HIGHEST_PORT = 65_535  # RFC 768: ports have 16 bits


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A UDP port of a host (name or address). Port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only programs on this computer can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> Endpoint:
    """Parse `PORT` (of this computer), `HOST:PORT` or `[IPv6]:PORT`.

    Raises ValueError, whose text names the expected form.
    """
    host, colon, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    # isascii, as isdecimal and int accept digits of every script.
    good_port = port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT
    if not good_port or (colon and not bare) or (":" in bare and bare == host):
        raise ValueError(_EXPECTED)
    return Endpoint(bare or LOOPBACK, int(port))


def parse_setting(value: object) -> str:
    """Normalise a setting: `off`, or an endpoint in one spelling. Raises ValueError."""
    if value is None or value is False:
        return OFF
    if isinstance(value, str) and value.strip().lower() in {OFF, "no", "none"}:
        return OFF
    # YAML reads a bare port as a number.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(_EXPECTED)
    return str(parse(str(value)))
