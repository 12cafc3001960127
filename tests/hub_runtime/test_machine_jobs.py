"""A machine without a worker looks after its own disk, and after nothing of the others'."""

import threading
from collections import Counter
from pathlib import Path

from sqlalchemy import func, select

from hub_kernel.leases import Lease
from hub_kernel.settings_files import load_settings
from hub_runtime.bootstrap import build_hub
from hub_runtime.edge_running import build_edge, running_edge
from hub_runtime.serving import running

OWN = Counter({"job-audit-head": 1, "job-archive-room": 1, "job-upload-purge": 1})


def jobs() -> Counter[str]:
    """The jobs of every hub in this process, other tests' too."""
    return Counter(one.name for one in threading.enumerate() if one.name.startswith("job-"))


def test_a_web_machine_purges_its_uploads_and_holds_no_lease(tmp_path: Path) -> None:
    chosen = (f"hub.data_dir={tmp_path}", "web.port=0", "viewer.port=0")
    hub = build_hub(load_settings(overrides=chosen))
    before = jobs()
    with running(hub, ("web",)):
        assert jobs() - before == OWN
        with hub.database.read() as session:
            assert not session.scalar(select(func.count()).select_from(Lease))
    assert jobs() == before


def test_one_with_a_worker_does_the_same_once(tmp_path: Path) -> None:
    chosen = (f"hub.data_dir={tmp_path}", "web.port=0", "viewer.port=0")
    before = jobs()
    with running(build_hub(load_settings(overrides=chosen)), ("web", "worker")):
        ours = jobs() - before
        assert ours & OWN == OWN
        assert max(ours.values()) == 1
        assert "job-study-completion" in ours


def test_a_gateway_speaks_to_its_hub_and_does_nothing_that_is_the_hubs(tmp_path: Path) -> None:
    ports = ("web.port=0", "router.port=0")
    where = ("edge.site_id=sijing", "edge.hub_url=http://127.0.0.1:9", "edge.report_s=3600")
    edge = build_edge(load_settings(overrides=(f"hub.data_dir={tmp_path}", *ports, *where)))
    before = jobs()
    with running_edge(edge):
        ours = jobs() - before
        assert {"job-edge-contact", "job-edge-room", "job-edge-compare"} <= set(ours)
        assert not {"job-edge-arrivals", "job-study-completion", "job-upload-purge"} & set(ours)
    assert jobs() == before
