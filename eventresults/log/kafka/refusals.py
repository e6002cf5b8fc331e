"""Makes kafka-python say so when the brokers refuse a login."""

from __future__ import annotations

from typing import Any


def hear_refusals(manager: Any, refused: frozenset[int]) -> None:
    """Have the first connection fail at once with the broker's own error, if its code is among these.

    A wrong password looks like an unreachable broker to kafka-python 3.0: it drops what it reads together with the end of the
    connection, which is how a broker says that it refuses a login, and it does not look at why a first connection failed.
    """
    refusals: list[Exception] = []
    build, connect = manager._build_transport, manager.get_connection  # noqa: SLF001

    async def build_transport(*arguments: Any, **options: Any) -> Any:
        transport = await build(*arguments, **options)
        receive = transport._sock_recv  # noqa: SLF001

        def received() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error  # the end is read again right after

        transport._sock_recv = received  # noqa: SLF001
        return transport

    def get_connection(node_id: Any, *arguments: Any, **options: Any) -> Any:
        if manager.bootstrapped:
            return connect(node_id, *arguments, **options)
        if refusals:
            raise refusals[0]
        connection = connect(node_id, *arguments, **options)
        connection.init_future.add_errback(failed)
        return connection

    def failed(error: Exception) -> None:
        if getattr(error, "errno", None) in refused:
            refusals.append(error)

    manager._build_transport = build_transport  # noqa: SLF001
    manager.get_connection = get_connection
