"""The tokens of a model server as far as they have been met: what each of them spells.

A server that tells ids has a vocabulary of its own; here are only the spellings. Of one that tells
texts alone, a token *is* its text, and its number is a hash of it: so a token has the same number
in every session and after every restart, whatever was met before, which a seed's draws depend on.
Only where two texts hash to one number does the later one depend on the earlier.
"""

from __future__ import annotations

import hashlib
import threading

from playground.errors import RemoteError

MOST_TEXTS = 2**16  # different tokens of a server that tells texts: half of the numbers
LONGEST = 4096  # bytes of a token


class Vocabulary:
    """Spellings by token, tokens 0 to `size` - 1; safe under threads, and it only ever grows."""

    def __init__(self, size: int):
        self.size = size
        self._spelled: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._spelled)

    def __contains__(self, token: int) -> bool:
        return token in self._spelled

    def spelled(self, token: int) -> bytes | None:
        """Return what a token adds to a text, None if that is not known."""
        return self._spelled.get(token)

    def learn(self, token: int, spelled: bytes) -> None:
        """Note what a token spells.

        Raises:
            RemoteError: there can be no such token.
        """
        if not 0 <= token < self.size or len(spelled) > LONGEST:
            raise RemoteError(
                f"The model server names the token {token} of {len(spelled)} bytes; its tokens are "
                f"0 to {self.size - 1}, of at most {LONGEST} bytes. It is not what it was."
            )
        self._spelled.setdefault(token, spelled)

    def token_of(self, spelled: bytes) -> int:
        """Return the number of a token that is known by its text alone.

        Raises:
            RemoteError: too many different ones have been met, or it is too long.
        """
        token = int.from_bytes(hashlib.sha256(spelled).digest()[:8], "big") % self.size
        with self._lock:
            while self._spelled.get(token, spelled) != spelled:
                token = (token + 1) % self.size
            if token not in self._spelled:
                if len(self._spelled) >= MOST_TEXTS:
                    raise RemoteError(
                        f"More than {MOST_TEXTS:,} different tokens of this server have been met. "
                        "Start the playground anew."
                    )
                self.learn(token, spelled)
        return token
