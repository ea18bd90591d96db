"""Client of Comanda, the order tracking service.

    from comanda_client import Client, messages

    with Client("127.0.0.1:50051") as comanda:
        ...

The messages of the API are in ``comanda_client.messages``.
"""

from comanda_client import messages
from comanda_client.client import Client
from comanda_client.errors import ComandaError, Outcome, Violation

__all__ = ["Client", "ComandaError", "Outcome", "Violation", "messages"]
