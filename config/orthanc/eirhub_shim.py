"""A thin shim inside Orthanc (its Python plugin, 4.0 or later): the hub admits and finds.

It holds no logic and keeps no patient data: an AE title or a query goes to the hub, the answer
comes back. It imports the standard library and the plugin's own module alone. That plugin and
others of Orthanc are AGPL; this file is Apache-2.0 like the rest, and runs with them, in their
process and apart from the hub. It must not be called orthanc.py, which would hide the module.

Environment: EIRHUB_URL, as http://127.0.0.1:8080, and EIRHUB_TOKEN, which `eirhub token create
orthanc --role edge --role clinician` prints (the second role is for queries). Without them Orthanc
does not start.
"""

import contextlib
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import orthanc

_URL = os.environ["EIRHUB_URL"].rstrip("/") + "/orthanc"
_HEADERS = {"Authorization": "Bearer " + os.environ["EIRHUB_TOKEN"]}
_TIMEOUT_S = 3.0
_HOLDS_S = 5.0
# A hub that does not answer: what it said last holds so long, then nothing is taken.
_STALE_S = 60.0
_MOST_REMEMBERED = 1000
_ACCEPTED, _OUT_OF_RESOURCES, _NOT_AUTHORIZED = 0x0000, 0xA700, 0x0124

_answers = {}
_came = threading.Event()


def _ask(path, data=None):
    request = urllib.request.Request(_URL + path, data=data, headers=_HEADERS)  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (an http URL)
        return answer.read()


def _may_store(title):
    """Return whether the hub takes what `title` sends; None while nobody can tell."""
    now = time.monotonic()
    asked_at, told = _answers.get(title, (None, None))
    if asked_at is not None and now - asked_at < _HOLDS_S:
        return told
    try:
        path = "/admission?" + urllib.parse.urlencode({"ae": title})
        told = bool(json.loads(_ask(path))["store"])
    except (OSError, ValueError, KeyError) as error:
        orthanc.LogWarning(f"EIR Hub does not say who may store: {type(error).__name__}")
        return told if asked_at is not None and now - asked_at < _STALE_S else None
    if len(_answers) >= _MOST_REMEMBERED:
        _answers.clear()
    _answers[title] = (now, told)
    return told


def _filter(instance):
    """Answer 0 to take an instance, else the status that its sender is told."""
    told = _may_store(instance.GetInstanceRemoteAet())
    if told is None:
        return _OUT_OF_RESOURCES
    return _ACCEPTED if told else _NOT_AUTHORIZED


def _changed(change, _level, _resource):
    """Note that something came; this may be lost, the hub follows the change feed anyway."""
    if change == orthanc.ChangeType.NEW_INSTANCE:
        _came.set()


def _find(answers, query, calling, called):
    """Have the hub answer a C-FIND; whatever goes wrong fails the query, and shows nothing."""
    keys = {
        f"{query.GetFindQueryTagGroup(n):04x}{query.GetFindQueryTagElement(n):04x}": (
            query.GetFindQueryValue(n)
        )
        for n in range(query.GetFindQuerySize())
    }
    asked = {"ae": calling, "called": called, "keys": keys}
    told = _ask("/find", data=json.dumps(asked).encode())
    for answer in json.loads(told)["answers"]:
        tags = {f"{tag[:4]},{tag[4:]}": value for tag, value in answer.items()}
        dicom = orthanc.CreateDicom(json.dumps(tags), None, orthanc.CreateDicomFlags.NONE)
        answers.FindAddAnswer(dicom)


def _hint():
    while True:
        _came.wait()
        _came.clear()
        with contextlib.suppress(OSError):
            _ask("/hint", data=b"")
        time.sleep(0.5)


orthanc.RegisterIncomingCStoreInstanceFilter(_filter)
orthanc.RegisterFindCallback(_find)
orthanc.RegisterOnChangeCallback(_changed)
threading.Thread(target=_hint, name="eirhub-hint", daemon=True).start()
