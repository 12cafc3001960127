"""The demo's story, step by step; every step is shown, and checked from outside."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import click
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from access_control.model import Role, Site
from access_control.site_rules import load_site_file
from hub_kernel.config_files import shipped_config
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.demo import checks
from hub_runtime.demo.client import HttpClient
from hub_runtime.demo.process import DemoHub
from hub_runtime.demo.region import DemoRegion, demo_region
from hub_runtime.demo.sending import DicomPeer, send
from hub_runtime.demo.studies import demo_instances, demo_study_uid

T = TypeVar("T")
_ARRIVAL_S = 240.0
_SEARCHED, _LOCAL_IDS, _STUDIES = "wxd", 2, 3


@dataclass
class Story:
    """What the demo has made so far, to be shown at its end."""

    settings: Settings
    region: DemoRegion = field(default_factory=lambda: demo_region(_today()))
    sites: tuple[Site, ...] = ()
    passwords: dict[str, str] = field(default_factory=dict)
    token: str = ""
    link: checks.SharedLink | None = None
    global_id: str = ""


def prepare(story: Story) -> None:
    """Register the sites, make the accounts with fresh passwords, and a token for the checks."""
    story.sites = load_site_file(shipped_config("site.example.toml"))
    with opened_hub(story.settings, may_create=True) as hub:
        for site in story.sites:
            hub.access.sites.add(site, replace=True)
        for account in story.region.accounts:
            sites = frozenset(account.sites) or None
            added = hub.access.accounts.add_user(
                account.username, None, {Role(account.role)}, sites, account.display_name
            )
            story.passwords[account.username] = added.password
        expires = hub.base.clock.now() + timedelta(days=1)
        story.token = hub.access.tokens.create("demo", {Role.RADIOLOGIST}, None, expires)


def play(story: Story, running: DemoHub) -> None:
    """Push everything, wait until it has arrived everywhere, and look at it from every side."""
    http = HttpClient(running.http, story.token)
    with _step("unknown senders are turned away, sites are admitted"):
        _check_admission(story, running)
    sent = _push(story, running)
    studies = {uid: len(instances) for uid, instances in sent.items()}
    arrived = checks.wait_for_studies(http, studies, _ARRIVAL_S)
    _bar("archived, registered, rendered", arrived, len(studies))
    with _step("one person, two local IDs, found by initials"):
        story.global_id = checks.check_one_person(
            http, _SEARCHED, identifiers=_LOCAL_IDS, studies=_STUDIES
        )
    mine = [study for study in story.region.studies if study.person.key == "wang"]
    with _step("every manifest found by ITI-18, retrieved by ITI-43"):
        checks.check_registry(http, _cx(story), {demo_study_uid(study) for study in mine})
    with _step("instances come back bit for bit, pictures show something"):
        for instances in sent.values():
            checks.check_bit_for_bit(http, instances[0])
            for kind in ("thumbnail", "rendered"):
                checks.check_picture(http, _instance_path(instances[0], kind))
    with _step("nobody sees anything without signing in"):
        checks.refused_without_sign_in(running.http, demo_study_uid(mine[0]))
    with _step("a citizen opens the shared link with its passcode"):
        story.link = checks.share(http, demo_study_uid(mine[0]))
        checks.check_shared_link(running.http, story.link)


def _check_admission(story: Story, running: DemoHub) -> None:
    titles = {site.ae_titles[0]: True for site in story.sites} | {"NOBODY": False}
    for title, admitted in titles.items():
        entity = AE(ae_title=title)
        entity.add_requested_context(Verification)
        called = story.settings.router.ae_title
        association = entity.associate(running.dicom_host, running.dicom_port, ae_title=called)
        established = association.is_established
        if established:
            association.release()
        if established is not admitted:
            raise checks.DemoError(f"{title} was {'admitted' if established else 'rejected'}")


def _push(story: Story, running: DemoHub) -> dict[str, list[Dataset]]:
    """Send every study from its site, with a bar over instances."""
    sites = {site.site_id: site for site in story.sites}
    made = [
        (
            sites[study.site_id],
            demo_instances(
                study, sites[study.site_id].claimed_charset, sites[study.site_id].institution
            ),
        )
        for study in story.region.studies
    ]

    def acknowledged() -> Iterator[str]:
        for site, instances in made:
            yield from send(instances, _peer(story, running, site))

    _bar("pushed by C-STORE", acknowledged(), sum(len(instances) for _, instances in made))
    return {str(instances[0].StudyInstanceUID): instances for _, instances in made}


def _peer(story: Story, running: DemoHub, site: Site) -> DicomPeer:
    return DicomPeer(
        running.dicom_host, running.dicom_port, story.settings.router.ae_title, site.ae_titles[0]
    )


def _cx(story: Story) -> str:
    identity = story.settings.identity
    issuer = AssigningAuthority(identity.global_namespace, identity.global_oid)
    return PatientIdentifier(story.global_id, issuer).cx


def _instance_path(instance: Dataset, kind: str) -> str:
    return (
        f"/dicom-web/studies/{instance.StudyInstanceUID}/series/{instance.SeriesInstanceUID}"
        f"/instances/{instance.SOPInstanceUID}/{kind}"
    )


@contextmanager
def _step(words: str) -> Iterator[None]:
    """Show a step; a tick only once it has been checked."""
    start = ""
    if sys.stderr.isatty():
        click.echo(f"  … {words}", nl=False, err=True)
        start = "\r"
    try:
        yield
    except BaseException:
        click.echo(f"{start}  ✗ {words}", err=True)
        raise
    click.echo(f"{start}  ✓ {words}", err=True)


def _bar(label: str, steps: Iterable[T], length: int) -> None:
    with click.progressbar(steps, length=length, label=f"  {label:38}", file=sys.stderr) as bar:
        for _ in bar:
            pass


def _today() -> date:
    return datetime.now(UTC).astimezone().date()
