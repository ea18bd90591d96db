"""What was handed out of each order: its last version, so that none is handed out twice, and whether it still moves."""

from typing import NamedTuple

from comanda.v1 import order_pb2

# Orders in each of the two generations: a watch may last forever, and its memory must not grow with it.
_GENERATION_SIZE = 100_000

_TERMINAL = {order_pb2.PHASE_SUCCEEDED, order_pb2.PHASE_CANCELLED, order_pb2.PHASE_REJECTED, order_pb2.PHASE_FAILED}


def is_terminal(phase: "order_pb2.Phase.ValueType") -> bool:
    """Whether an order in this phase has ended."""
    return phase in _TERMINAL


class _Last(NamedTuple):
    version: int
    has_ended: bool
    # The snapshot that was being read, or had been read, when the order was seen.
    snapshot: int


class Seen:
    """The orders that were seen lately."""

    def __init__(self, generation_size: int = _GENERATION_SIZE) -> None:
        self._generation_size = generation_size
        self._recent: dict[str, _Last] = {}
        self._older: dict[str, _Last] = {}
        self._snapshot = 0

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def begin_snapshot(self) -> None:
        """A new snapshot begins."""
        self._snapshot += 1

    def is_new(self, order_id: str, version: int, phase: "order_pb2.Phase.ValueType") -> bool:
        """Notes a version, and says whether it is above all that were seen of its order.

        An order that was forgotten, because very many others moved since, counts as new: a repeated transition may then be handed out
        twice, but none is left out.
        """
        known = self._recent.get(order_id) or self._older.get(order_id)
        is_new = known is None or version > known.version
        if known is None or is_new:
            known = _Last(version, is_terminal(phase), self._snapshot)
        if len(self._recent) >= self._generation_size:
            self._older, self._recent = self._recent, {}
        self._recent[order_id] = known._replace(snapshot=self._snapshot)
        return is_new

    def missing(self) -> list[str]:
        """The orders that had not ended when they were seen before the last snapshot began, and that were not seen since.

        They have ended meanwhile, or match no more.
        """
        all_orders = self._older | self._recent
        return sorted(id for id, last in all_orders.items() if not last.has_ended and last.snapshot < self._snapshot)
