"""Every machine of a hub holds the same keys, and the database knows them by their fingerprints.

A machine with keys of its own would chain audit records that no other can follow, and refuse links
and viewers that another has opened. The database holds no key: a fingerprint tells nothing of it.
"""

import hashlib
import hmac

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from access_control.secrets import KeyStore
from access_control.tables_trust import HubKeyRow
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError

KEY_NAMES = ("audit", "deidentification", "links", "viewer")


def require_same_keys(database: Database, keys: KeyStore) -> None:
    """Compare this machine's keys with the hub's; whoever comes first says which they are.

    Keys that are missing are made first, so that none appears later and differs.

    Raises:
        ConfigurationError: a key is another than the one the hub began with.
    """
    own = {name: _fingerprint(keys.key(name)) for name in KEY_NAMES}
    known = _known(database)
    for name in own.keys() - known.keys():
        _note(database, name, own[name])
    known = known if own.keys() <= known.keys() else _known(database)
    wrong = sorted(name for name in own if known[name] != own[name])
    if wrong:
        raise ConfigurationError(
            f"secrets: {', '.join(f'{name}.key' for name in wrong)} here is not this hub's; copy "
            "the folder secrets of the machine the hub was first started on to this one"
        )


def _known(database: Database) -> dict[str, str]:
    with database.read() as session:
        rows = session.execute(select(HubKeyRow.name, HubKeyRow.fingerprint))
        return {row.name: row.fingerprint for row in rows}


def _note(database: Database, name: str, fingerprint: str) -> None:
    try:
        with database.unit_of_work() as work:
            work.session.execute(insert(HubKeyRow).values(name=name, fingerprint=fingerprint))
    except IntegrityError:
        return  # another machine was first in this very moment


def _fingerprint(key: bytes) -> str:
    return hmac.new(key, b"eirhub key fingerprint", hashlib.sha256).hexdigest()
