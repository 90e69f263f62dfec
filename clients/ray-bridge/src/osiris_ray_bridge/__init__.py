"""Runs the steps of Osiris pipelines as tasks on a Ray cluster.

`osiris run --on ray` starts `osiris-ray-bridge` and speaks the worker protocol with it (docs/worker-protocol.md).

- `cli`: the command line.
- `bridge`: answers the host's commands.
- `attempt`: an attempt, from its Ray task to its last answer.
- `link`: the bridge's end of the connection with a task.
- `task`: what runs on a node: it starts `osiris worker`, and connects it with the bridge.
- `cluster`: everything that calls Ray.
- `blobs`: the files that the host sent.
- `lines`: the lines of the worker protocol.
- `failures`: why an attempt failed, as the host expects it.
- `certificate`: a certificate for the connections of one run.
"""
