"""What the OpenSSH client's messages mean for the user."""

from __future__ import annotations

import re
from collections.abc import Sequence

from paddle_mobileseg.benchmark.devices.base import DeviceError, DeviceLost
from paddle_mobileseg.child_process import last_words

_GONE = (
    r"Connection (?:refused|reset|timed out|closed)|closed by remote host|Broken pipe|No route to host|"
    r"Network is unreachable|Host is down|Operation timed out|not responding|client_loop|mux_client|booting up|"
    r"going down|kex_exchange_identification|banner exchange|Connection to .* closed|read from master failed|"
    r"Session open refused"
)
# Expression in what ssh says, and what to do; the first that is found.
_CAUSES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is another one than before: the board was set up again, or something else answers in its place. "
        "If you know why, remove the old key (ssh-keygen -R HOST) and connect once by hand (ssh HOST)",
    ),
    (
        r"Host key verification failed|host key is known",
        "its host key is not known here; connect once by hand (ssh HOST), compare the key and accept it",
    ),
    (
        r"Permission denied \(",
        "it does not accept your key, and passwords are not asked for; install a key there (ssh-copy-id HOST), load it "
        "(ssh-add), or name user and key in ~/.ssh/config",
    ),
    (
        r"Could not resolve hostname",
        "there is no host of that name; use its address, or an alias of ~/.ssh/config",
    ),
    (r"Too many authentication failures", "too many keys were tried; name the key in ~/.ssh/config (IdentityFile)"),
    (r"no matching|Unable to negotiate", "client and server have no algorithm in common; update the board's sshd"),
)
# Where OpenSSH's messages name a host, an address or a user: those behind an alias, a jump host's.
_NAMES = re.compile(
    r"(?<=connect to host )\S+|(?<=Connection to )\S+|(?<=closed by )(?!remote)\S+|(?<=reset by )(?!peer)\S+"
    r"|(?<=resolve hostname )[^\s:]+|(?<=negotiate with )\S+|\S+@[^\s:]+|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"
)


def without_hosts(said: str, names: Sequence[str]) -> str:
    """What ssh said with ``...`` for hosts, addresses and users: these names, and those that it adds itself."""
    for name in filter(None, names):
        said = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "...", said)
    return _NAMES.sub("...", said)


def failure(label: str, said: str) -> DeviceError:
    """The error for a client that ended without the remote command's exit status.

    Args:
        label: the device.
        said: what ssh wrote to its error output.

    Returns:
        DeviceLost where trying again may help: the connection was refused, timed out, or went.
    """
    words = last_words(said)
    for pattern, advice in _CAUSES:
        if re.search(pattern, said):
            return DeviceError(f"cannot connect to {label}: {advice}. ssh said:\n  {words}")
    if re.search(_GONE, said) or not said.strip():
        return DeviceLost(
            f"no connection to {label}; is it on, in this network, and does sshd run? ssh said:\n  {words}"
        )
    return DeviceLost(f"the connection to {label} ended before the command did. ssh said:\n  {words}")
