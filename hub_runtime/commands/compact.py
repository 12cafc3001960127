"""`eirhub archive compact`: masters for originals, wherever the original is proved to return."""

import click

from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.compacting import compaction
from hub_runtime.options import Progress, answer, json_option, with_settings
from image_archive.compaction import CompactionPolicy, CompactionReport
from image_archive.paging import Part

_WORDS = {
    "already_compressed": "compressed by the sender already",
    "no_pixel_data": "no pixels",
    "unsupported_pixels": "pixels that no master can hold",
    "not_smaller": "the master would not be smaller",
    "not_restored": "the master did not give the original back",
    "damaged": "damaged; eirhub archive verify says more",
    "kept_apart": "taken after a conflict",
}


@click.command("compact")
@click.option("--modality", "modalities", multiple=True, help="Only this modality; repeatable.")
@click.option(
    "--older-than-days", type=click.IntRange(min=0), default=0, help="Received this long ago."
)
@click.option("--limit", type=click.IntRange(min=1), help="Look at this many instances at most.")
@click.option("--dry-run", is_flag=True, help="Make and prove every master, change nothing.")
@json_option
@with_settings
def compact(
    settings: Settings, *, limit: int | None, dry_run: bool, as_json: bool, **chosen: object
) -> None:
    """Keep instances as lossless masters that give the original back bit for bit.

    Each is restored and compared before its original is removed; whatever cannot be proved stays as
    it is, and is reported with the reason. Safe beside a running hub, and safe to interrupt.
    """
    policy = CompactionPolicy(part=Part(limit=limit), **chosen)  # type: ignore[arg-type]  # click's own types
    progress = Progress("compacting")
    with opened_hub(settings) as hub:
        report = compaction(hub).run(policy, progress, dry_run=dry_run)
    progress.close()
    answer(_told(report, dry_run=dry_run), _lines(report, dry_run=dry_run), as_json=as_json)


def _told(report: CompactionReport, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "examined": report.examined,
        "converted": report.converted,
        "original_bytes": report.original_bytes,
        "master_bytes": report.master_bytes,
        "saved_bytes": report.saved_bytes,
        "kept": dict(sorted(report.kept.items())),
    }


def _lines(report: CompactionReport, *, dry_run: bool) -> str:
    verb = "could be compacted" if dry_run else "compacted"
    share = f" ({report.saved_bytes / report.original_bytes:.0%})" if report.original_bytes else ""
    lines = [
        f"{report.examined} instances looked at, {report.converted} {verb}: "
        f"{_size(report.original_bytes)} are {_size(report.master_bytes)}, "
        f"{_size(report.saved_bytes)} saved{share}"
    ]
    lines += [
        f"  {count} stay: {_WORDS.get(reason, reason.replace('_', ' '))}"
        for reason, count in report.kept.most_common()
    ]
    return "\n".join(lines)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
