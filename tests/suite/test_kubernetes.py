"""The example for Kubernetes: its manifests against the API's schema, its commands by the real kubectl, and a worker as restricted as
its pods are. There is no cluster here: what a kubelet and its container runtime do is not tested.
"""

import json
import os
import re
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from conftest import OSIRIS, ROOT
from http_server import Reply, web  # noqa: F401

EXAMPLE = ROOT / "examples" / "kubernetes"
KUBECTL = Path(sys.executable).parent / "kubectl"
VERSION = "1.37"


def valid(document: dict) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def commands() -> dict[str, str]:
    """The workers of the documentation."""
    blocks = re.findall(r"```yaml\n(workers:\n.*?)```", (ROOT / "docs" / "scale-out.md").read_text(), re.DOTALL)
    workers = {}
    for block in blocks:
        workers |= yaml.safe_load(block)["workers"]
    return {name: worker["command"] for name, worker in workers.items() if "kubectl" in worker["command"]}


def check_restricted(pod: dict) -> None:
    """As the Pod Security Standard `restricted` asks, and more."""
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    rights = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == rights
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert [list(volume) for volume in pod["volumes"]] == [["name", "emptyDir"]] and "sizeLimit" in pod["volumes"][0]["emptyDir"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)


def test_the_manifests_are_valid_and_give_a_worker_no_rights():
    workers, network = yaml.safe_load_all((EXAMPLE / "workers.yaml").read_text())
    for document in (workers, network):
        valid(document)
    pod = workers["spec"]["template"]["spec"]
    check_restricted(pod)
    pod["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFileSystem"):
        valid(workers)


def test_kubectl_makes_a_restricted_pod_of_the_documented_command(project, web, tmp_path):
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "tests", "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": ""}}], "clusters": [{"name": "tests", "cluster": {"server": web.url}}]}
    project.write("kubeconfig", json.dumps(config))
    verbs = {"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["create", "get"]}]}
    web.route("/api", lambda _: {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
    web.route("/apis", lambda _: {"kind": "APIGroupList", "apiVersion": "v1", "groups": []})
    web.route("/api/v1", lambda _: verbs)
    # Nothing more is needed to see what kubectl creates.
    web.route("/api/v1/namespaces/default/pods", lambda request: Reply({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403}, 403))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    env = {"PATH": f"{KUBECTL.parent}:{os.environ['PATH']}", "KUBECONFIG": str(tmp_path / "kubeconfig")}
    project.write("osiris.yaml", yaml.safe_dump({"workers": {name: {"command": command} for name, command in commands().items()}}))
    project.pipeline([project.sql("select 1 as a")])
    done = project.osiris("run", "pipeline.yaml", "--on", "pod", env=env)
    assert done.returncode != 0 and "cannot reach worker `pod`" in done.stderr and "orbidden" in done.stderr
    [created] = [request.json for request in web.requests if request.method == "POST"]
    valid(created)
    check_restricted(created["spec"])
    [container] = created["spec"]["containers"]
    assert container["command"][:2] == ["osiris", "worker"] and container["stdin"] and container["stdinOnce"] and created["spec"]["restartPolicy"] == "Never"
    done = project.osiris("run", "pipeline.yaml", "--on", "pod0", env=env)
    assert done.returncode != 0 and "osiris-worker-0" in done.stderr
    assert "/api/v1/namespaces/default/pods/osiris-worker-0" in web.paths()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user in a read-only root folder")
def test_a_worker_works_with_the_rights_and_folders_of_the_manifest(project, tmp_path):
    """A `kubectl` that runs its command on this machine, as restricted as the manifest says. A pod's `/work` is `/mnt/work` here."""
    workers, _ = yaml.safe_load_all((EXAMPLE / "workers.yaml").read_text())
    pod = workers["spec"]["template"]["spec"]
    [container] = pod["containers"]
    user, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    variables = " ".join(f"{one['name']}={one['value']}".replace("/work", "/mnt/work") for one in container["env"])
    library = (OSIRIS.parent / "libduckdb.so").resolve()
    project.write(
        "kubectl",
        f"""#!/bin/sh -e
[ "$1 $2 $3 $4 $5" = "exec --stdin --quiet osiris-worker-0 --" ]
shift 5
for argument; do shift; set -- "$@" "$(echo "$argument" | sed 's:^/work:/mnt/work:')"; done
exec unshare --mount sh -ec '
    mount -t tmpfs none /mnt
    mkdir /mnt/opt /mnt/work
    chown {user}:{group} /mnt/work
    touch /mnt/opt/osiris /mnt/opt/libduckdb.so
    mount --bind {OSIRIS} /mnt/opt/osiris
    mount --bind {library} /mnt/opt/libduckdb.so
    mount -o remount,bind,ro / /
    cd /mnt/work
    exec setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \\
        env -i PATH=/mnt/opt:/usr/bin:/bin {variables} sh -c "touch /tmp/written 2>/dev/null && exit 9; exec \\"\\$0\\" \\"\\$@\\"" "$@"' sh "$@"
""",
    ).chmod(0o755)
    [command] = [command for name, command in commands().items() if name == "pod0"]
    project.write("osiris.yaml", yaml.safe_dump({"workers": {"pod0": {"command": command}}}))
    project.pipeline([project.sql("select range as a from range(1000)"), {"id": "out", "component": "filesystem.csv_writer", "needs": ["source"], "config": {"path": "out.csv"}}])
    done = project.osiris("run", "pipeline.yaml", "--on", "pod0", "--require-sandbox", env={"PATH": f"{project.folder}:{os.environ['PATH']}"})
    assert done.returncode == 0 and (project.folder / "out.csv").read_text().count("\n") == 1001, done.stderr
