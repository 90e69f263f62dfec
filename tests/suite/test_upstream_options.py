"""Every option of Python Osiris's component specs is accepted, and docs/python-osiris.md shows its equivalent."""

import json
import os

import pytest
import upstream_options
from upstream_options import OPTIONS, TOGETHER

# A step may only connect to hosts that a connection names.
HOSTS = ["localhost", "db", "example.org", "a.supabase.co", "posthog.example.org", "app.posthog.com", "us.posthog.com", "eu.posthog.com", "us.i.posthog.com", "eu.i.posthog.com"]


@pytest.mark.parametrize("component", OPTIONS)
def test_every_value_of_every_option_is_accepted(project, component):
    base, options = OPTIONS[component]
    hosts = {name.replace(".", "-"): {"host": name, "private_network": True} for name in HOSTS}
    project.write("osiris_connections.yaml", json.dumps({"version": 1, "connections": {"filesystem": {"local": {"base_dir": "."}}, "hosts": hosts}}))
    project.write("in.csv", "a\n1\n")
    refused = {}
    for option, values in options.items():
        for value in values:
            config = {name: one for name, one in (base | TOGETHER.get(component, {}).get(option, {}) | {option: value}).items() if one is not None or name == option}
            project.pipeline([project.sql("select 1 as id"), {"id": "step", "component": component, "config": config}])
            done = project.osiris("validate", "pipeline.yaml")
            if done.returncode:
                refused[f"{option}: {json.dumps(value)}"] = done.stderr.strip()[:300]
    assert not refused, "\n".join(f"{option}: {why}" for option, why in refused.items())


def test_the_page_of_options_shows_each_equivalent(project):
    specs = {component: upstream_options.spec(project, component) for component in OPTIONS}
    page = upstream_options.page(specs)
    if os.environ.get("BLESS"):
        upstream_options.PATH.write_text(page)
    assert upstream_options.PATH.read_text() == page, "BLESS=1 regenerates docs/python-osiris.md"
    assert "NOT ACCEPTED" not in page
