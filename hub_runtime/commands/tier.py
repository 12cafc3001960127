"""`eirhub archive tier` and `recall`: what is old goes far, what is wanted comes back."""

import click

from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import Progress, answer, json_option, with_settings
from hub_runtime.tiers import tier_policy, tiering
from image_archive.paging import Part


@click.command("tier")
@click.option("--limit", type=click.IntRange(min=1), help="Look at this many instances at most.")
@click.option("--dry-run", is_flag=True, help="Say what would go, change nothing.")
@json_option
@with_settings
def tier(settings: Settings, *, limit: int | None, dry_run: bool, as_json: bool) -> None:
    """Copy old instances to the bucket now, and free the folder of what has been there long enough.

    Which are old is said by `archive.tier_after_days` and `tier_modalities`; each copy is read back
    and compared, and looked at again before the near one goes. Safe beside a running hub, and safe
    to interrupt.
    """
    progress = Progress("moving")
    with opened_hub(settings) as hub:
        report = tiering(hub).run(tier_policy(hub, Part(limit=limit)), progress, dry_run=dry_run)
    progress.close()
    would = "would be " if dry_run else ""
    words = [
        f"{report.copied} instances of {report.copied_bytes} bytes {would}copied far, "
        f"{report.freed} of {report.freed_bytes} bytes {would}freed near"
    ]
    if report.damaged:
        words.append(f"{report.damaged} are damaged and stay: eirhub archive verify")
    answer(vars(report) | {"dry_run": dry_run}, "\n".join(words), as_json=as_json)


@click.command("recall")
@click.argument("study_instance_uid")
@json_option
@with_settings
def recall(settings: Settings, study_instance_uid: str, *, as_json: bool) -> None:
    """Bring a study back from the bucket, for `archive.tier_grace_days`."""
    with opened_hub(settings) as hub:
        count = tiering(hub).recall(study_instance_uid)
    answer({"recalled": count}, f"{count} instances are near again", as_json=as_json)
