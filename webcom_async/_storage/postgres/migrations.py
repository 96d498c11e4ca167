"""
The tables of a journal: check their owner and version, create and migrate them.

In one transaction, under a lock that other processes wait for.
"""

from webcom_async._domain.zones import DEFAULT_ZONE
from webcom_async._storage.postgres import journal_sql as _sql
from webcom_async._storage.postgres.connection import Session
from webcom_async._storage.postgres.server import Server

__all__ = ["prepare"]


async def prepare(session: Session, server: Server, *, time_zone: str = DEFAULT_ZONE) -> None:
    """
    Raise `JournalError` if another program or a later release owns the tables.

    Tables of version 1 do not name the zone of recipients' times: it is *time_zone*.
    """
    version = await _checked_version(session, server)
    if version < len(_sql.MIGRATIONS):
        elsewhere = server.unusable("another process migrates its tables; try again after that")
        async with session.unhurried_transaction(elsewhere):
            await session.fetch(_sql.LOCK_FORMAT, schema=server.schema)
            # Another process may have migrated while this one waited.
            await _migrate(session, server, await _checked_version(session, server), time_zone)


async def _checked_version(session: Session, server: Server) -> int:
    """Return 0 if there are no tables; write nothing."""
    # One statement: between two, another process may commit all tables.
    tables = {name for (name,) in await session.fetch(_sql.LIST_TABLES, schema=server.schema)}
    if not tables:
        return 0
    rows = await session.fetch(_sql.FIND_FORMAT) if "format" in tables else []
    if len(rows) != 1 or rows[0][0] != _sql.APPLICATION:
        raise server.unusable("it holds the tables of another program; give another schema=")
    version: int = rows[0][1]
    if version > len(_sql.MIGRATIONS):
        raise server.unusable(
            f"its format is version {version}, and this release knows {len(_sql.MIGRATIONS)}; upgrade webcom-async"
        )
    return version


async def _migrate(session: Session, server: Server, version: int, time_zone: str) -> None:
    if version == len(_sql.MIGRATIONS):
        return
    # An administrator may have created the schema for a user without the right to.
    if version == 0 and not await session.fetch(_sql.FIND_SCHEMA, schema=server.schema):
        await session.change(_sql.MAKE_SCHEMA.format(f'"{server.schema}"'))
    await session.fetch(_sql.SET_ZONE, zone=time_zone)
    for migration in _sql.MIGRATIONS[version:]:
        for statement in migration:
            await session.change(statement)
    statement = _sql.SET_FORMAT if version else _sql.ADD_FORMAT
    await session.change(statement, application=_sql.APPLICATION, version=len(_sql.MIGRATIONS))
