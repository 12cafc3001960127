"""`eirhub`: the one command of the hub."""

import os

import click

from hub_runtime import garbage
from hub_runtime.commands.backup import backup, restore
from hub_runtime.commands.certificates import certificate
from hub_runtime.commands.conformance import conformance
from hub_runtime.commands.deidentify import deidentify
from hub_runtime.commands.demo import demo
from hub_runtime.commands.doctor import doctor
from hub_runtime.commands.edge import edge
from hub_runtime.commands.eir import eir
from hub_runtime.commands.exit import export, import_all
from hub_runtime.commands.hl7 import hl7
from hub_runtime.commands.hold import hold
from hub_runtime.commands.identity import identity
from hub_runtime.commands.ledger import ledger
from hub_runtime.commands.maintenance import archive, audit, db
from hub_runtime.commands.outbox import outbox
from hub_runtime.commands.people import token, user
from hub_runtime.commands.registry import registry
from hub_runtime.commands.router import router
from hub_runtime.commands.serve import serve, web, worker
from hub_runtime.commands.site import site
from hub_runtime.commands.viewer import viewer
from hub_runtime.options import HubGroup

garbage.imported()


@click.group(cls=HubGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="eirhub")
def main() -> None:
    """EIR Hub: DICOM router, central archive, XDS registry and a lifelong record in one."""
    # What the hub writes is patient data: for its own account alone.
    os.umask(0o077)


for command in (
    serve,
    router,
    web,
    worker,
    hl7,
    hold,
    edge,
    demo,
    site,
    user,
    token,
    certificate,
    db,
    archive,
    audit,
    outbox,
    registry,
    ledger,
    eir,
    deidentify,
    conformance,
    identity,
    doctor,
    backup,
    restore,
    export,
    import_all,
    viewer,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
