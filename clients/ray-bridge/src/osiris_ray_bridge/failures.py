"""Why an attempt failed, in the form that the host expects."""

from typing import Any

Failure = dict[str, Any]


def lost(message: str) -> Failure:
    """The attempt is gone with its node, its task or its worker; the step's `retries` decide what follows."""
    hint = "try again, or let the host do so with `retries: N` in the step"
    return {"blame": "host", "kind": "lost", "message": message, "hint": hint, "retry": {}}


def unusable(message: str, hint: str) -> Failure:
    """A node, or the whole cluster, cannot run the attempt, and another try would end in the same way."""
    return {"blame": "host", "kind": "worker", "message": message, "hint": hint}


def protocol(message: str) -> Failure:
    return {"blame": "host", "kind": "protocol", "message": message}


def interrupted() -> Failure:
    return {"blame": "user", "kind": "interrupted", "message": "the attempt was ended"}


def no_room(message: str) -> Failure:
    return {"blame": "host", "kind": "disk", "message": message, "hint": "free some disk space, or choose another folder with `--dir`"}


def no_cluster(message: str) -> Failure:
    hint = "start Ray on this machine with `ray start`, or name another cluster with `--on ray:ADDRESS`"
    return {"blame": "host", "kind": "worker", "message": message, "hint": hint}
