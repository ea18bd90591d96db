"""When a failed call is repeated, when a broken stream is resumed, and how long to wait before it."""

import random

from grpc import StatusCode

from comanda_client.errors import ComandaError

# A wait that a server asks for is granted up to here, in seconds.
_LONGEST_ASKED = 30.0

_ABOUT_THE_REQUEST = {
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.ALREADY_EXISTS,
    StatusCode.PERMISSION_DENIED,
    StatusCode.UNAUTHENTICATED,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.OUT_OF_RANGE,
    StatusCode.UNIMPLEMENTED,
    StatusCode.DATA_LOSS,
}


def may_repeat(error: ComandaError) -> bool:
    """Whether the same call, with the same request_id, may succeed later."""
    if error.code == StatusCode.ABORTED:
        return error.reason == "CONTENTION"
    return error.code not in _ABOUT_THE_REQUEST and error.reason != "MESSAGE_TOO_LARGE"


def may_resume(error: ComandaError) -> bool:
    """Whether a stream that ended so may be opened again where it was. A proxy can end a stream with any code."""
    return error.code not in _ABOUT_THE_REQUEST


class Waits:
    """Waits in seconds that double from one failure to the next, with jitter, so that clients do not return all at once."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self.reset()

    def reset(self) -> None:
        """Back to the first wait, after a success."""
        self._next = self._first

    def after(self, error: ComandaError) -> float:
        """The next wait, no shorter than the server asks for."""
        wait = self._next * random.uniform(1, 2)
        self._next = min(2 * self._next, self._longest)
        return max(wait, min(error.retry_after or 0.0, _LONGEST_ASKED))
