"""Which addresses may be dialled: resolve a name, check every answer, connect to what was checked.

A name is resolved once and the connection goes to the very address that passed, so a name server
that changes its answer between the check and the connection gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Sequence

from octavo.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class DialError(OSError):
    """A host that could not be reached; worth another try."""


def public(address: Address) -> bool:
    """Whether an address lies on the public internet, also the one hidden inside an IPv6 form.

    >>> public(ipaddress.ip_address("::ffff:127.0.0.1"))
    False
    >>> public(ipaddress.ip_address("151.101.131.42"))
    True
    """
    return all(part.is_global and not part.is_multicast for part in _parts(address))


def _parts(address: Address) -> Sequence[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    hidden = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inside = [part for part in hidden if part is not None]
    return inside or [address]


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """Look a host up within a time limit. Numeric forms such as 0x7f000001 resolve here too.

    Raises DialError where the name has no address or the name server stays silent.
    """
    found: list[str] = []
    failure: list[OSError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure.append(error if isinstance(error, OSError) else OSError(str(error)))
        else:
            found.extend(str(answer[4][0]) for answer in answers)

    worker = threading.Thread(target=look_up, daemon=True)  # getaddrinfo cannot be interrupted
    worker.start()
    worker.join(max(seconds, 0.0))
    if not found:
        why = failure[0].strerror or str(failure[0]) if failure else "the name server is silent"
        raise DialError(f"no address for {host} ({why})")
    return list(dict.fromkeys(found))


def checked(host: str, port: int, seconds: float, *, allow_private: bool) -> list[str]:
    """Addresses of a host, all of them public.

    Raises InputError where any of them is private, loop-back, link-local or reserved.
    """
    addresses = resolve(host, port, seconds)
    for text in addresses:
        if not allow_private and not public(ipaddress.ip_address(text.split("%")[0])):
            raise InputError(
                f"{host} is the private address {text}; only public addresses are fetched; "
                "pass --allow-private if you trust this source"
            )
    return addresses


def dial(host: str, port: int, seconds: float, *, allow_private: bool) -> socket.socket:
    """Open a connection to the first checked address that answers."""
    last: OSError | None = None
    for address in checked(host, port, seconds, allow_private=allow_private):
        try:
            return socket.create_connection((address, port), timeout=max(seconds, 0.001))
        except OSError as error:
            last = error
    raise DialError(f"cannot connect to {host}:{port} ({last})")
