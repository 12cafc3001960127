"""`eirhub doctor`: what an operator should look at today, with what to do about it."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from eir_versions.deidentification.burned_in import CaseState
from hub_kernel.errors import NotFoundError
from hub_kernel.settings import Settings
from hub_runtime import schema
from hub_runtime.bootstrap import opened_hub
from hub_runtime.certificate_watch import certificate_watch
from hub_runtime.doctor_checks import Finding, broker, clock, disks, ports, queues
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings
from hub_runtime.quota_watch import quota_watch
from hub_runtime.viewer_port import viewer_folder
from image_archive.errors import ArchiveError
from image_archive.keys import InstanceNames
from viewer_api.viewer_origin.files import VIEWER_VERSION, installed_viewer


@click.command()
@json_option
@with_settings
def doctor(settings: Settings, *, as_json: bool) -> None:
    """Look at everything an operator should know of; exit 1 if something needs a person."""
    with opened_hub(settings) as hub:
        findings = [*_schema(hub), *_room(hub), *disks(_folders(hub.settings)), *ports(settings)]
        kinds = {one.kind for one in hub.base.outbox.subscribers.values()}
        findings += [*clock(hub), *queues(hub), *broker(settings.tasks, kinds)]
        findings += [*_certificates(hub), *_quotas(hub), _viewer(hub), *_texts(hub)]
    lines = [f"{'ok  ' if one.ok else 'WARN'} {one.subject}: {one.words}" for one in findings]
    answer([vars(one) for one in findings], "\n".join(lines), as_json=as_json)
    sys.exit(0 if all(one.ok for one in findings) else 1)


def _folders(settings: Settings) -> dict[str, Path]:
    return {
        "data": settings.hub.data_dir,
        "archive": settings.archive_path,
        "temporary files": Path(tempfile.gettempdir()),
    }


def _schema(hub: Hub) -> Iterator[Finding]:
    revision = schema.revision_of(hub.database)
    if revision == schema.head():
        yield Finding("database", ok=True, words=f"at revision {revision}")
    else:
        words = f"at revision {revision} of a newer hub, which only added to it: upgrade this one"
        yield Finding("database", ok=True, words=words)


def _room(hub: Hub) -> Iterator[Finding]:
    free, reserve = hub.archive.backend.free_bytes(), hub.settings.archive.min_free_bytes
    words = f"{free} bytes free; every C-STORE is refused below {reserve}"
    yield Finding("archive", ok=free > 2 * reserve, words=words)
    try:
        hub.archive.backend.size(_never_stored(hub))
    except NotFoundError:
        words = f"{hub.settings.archive.backend} answers"
        yield Finding("archive backend", ok=True, words=words)
    except ArchiveError as error:
        section = hub.settings.archive.backend
        words = f"{error}; until then every C-STORE is refused. Look at [{section}], at the server"
        yield Finding("archive backend", ok=False, words=words)


def _never_stored(hub: Hub) -> str:
    """Return the key of an instance that nobody has."""
    names = InstanceNames("", "2.25.0", "2.25.0", "2.25.0")
    return hub.archive.backend.instance_key(hub.base.clock.now(), names, "0" * 64)


def _certificates(hub: Hub) -> Iterator[Finding]:
    endings = certificate_watch(hub).endings()
    for ending in endings:
        if ending.soon:
            yield Finding("certificate", ok=False, words=ending.words())
    if endings and not endings[0].soon:
        first = endings[0]
        words = f"{len(endings)} in use, the first to end is {first.kind} {first.name}"
        yield Finding("certificates", ok=True, words=f"{words} on {first.expires_at:%Y-%m-%d}")
    proven = {one for site in hub.access.sites.all() for one in site.certificate_fingerprints}
    for site in hub.access.sites.all():
        if site.tls_only and not site.certificate_fingerprints:
            words = "is TLS only and has no certificate that holds: nothing of it is admitted"
            yield Finding(f"site {site.site_id}", ok=False, words=words)
    if not proven and hub.settings.router.tls_certificate:
        yield Finding("DICOM TLS", ok=False, words="is on, but no site has a certificate")


def _viewer(hub: Hub) -> Finding:
    folder = viewer_folder(hub.settings)
    if installed_viewer(folder):
        words = f"{VIEWER_VERSION} is installed, on port {hub.settings.viewer.port} once started"
        return Finding("diagnostic viewer", ok=True, words=words)
    words = (
        "is not installed: run make viewer (or eirhub viewer install --package FILE), restart; "
        "until then readers use the built-in pages"
    )
    # A hub without radiologists is whole without it.
    return Finding("diagnostic viewer", ok=True, words=words)


def _texts(hub: Hub) -> Iterator[Finding]:
    desk = hub.eir.burned_in
    waiting = desk.total(CaseState.HELD, None)
    held = f"{waiting} pictures are held for a person (eirhub eir burned-in list)"
    if desk.can_look:
        yield Finding("burned-in text", ok=True, words=f"is looked for; {held}")
        return
    words = "the recogniser is not installed (pip install eirhub[burned-in])"
    if not hub.settings.eir.find_text:
        words = "is not looked for (eir.find_text)"
    yield Finding("burned-in text", ok=not waiting, words=f"{words}; {held}")


def _quotas(hub: Hub) -> Iterator[Finding]:
    watch = quota_watch(hub)
    for use in filter(watch.is_near, watch.uses()):
        yield Finding(f"site {use.site_id}", ok=False, words=watch.words(use))
