"""Reads the issues of a GitHub repository: all of them, or those that were updated since the last run."""

from dataclasses import dataclass

import osiris_sdk as osiris
from osiris_sdk import http

VERSION = "2022-11-28"


@dataclass
class Config:
    owner: str
    repository: str
    status: str = "all"
    pull_requests: bool = False
    incremental: bool = False
    page_size: int = 100


def session(config: Config) -> http.Session:
    # The host adds the token, if there is one: the driver never sees it.
    return http.session(
        f"https://api.github.com/repos/{config.owner}/{config.repository}",
        headers={"accept": "application/vnd.github+json", "x-github-api-version": VERSION},
    )


@osiris.extractor
def extract(config: Config, output):
    api = session(config)
    table = output.table(
        "main", id=int, number=int, title=str, status=str, status_reason=str, author=str, labels=list[str],
        assignees=list[str], milestone=str, comments=int, body=str, locked=bool, is_pull_request=bool, url=str,
        created_at=osiris.instant, updated_at=osiris.instant, closed_at=osiris.instant,
    )  # fmt: skip
    stored = (osiris.state.get() or {}) if config.incremental else {}
    since, seen = stored.get("updated_at"), set(stored.get("ids", []))
    # The list is read by its order, not by page numbers: an issue that is updated meanwhile moves to its end, which
    # would move another one to a page that was read already.
    page, read = 1, 0
    while True:
        response = api.get(
            "issues",
            params={
                "state": config.status, "sort": "updated", "direction": "asc", "since": since,
                "per_page": config.page_size, "page": None if page == 1 else page,
            },
        )  # fmt: skip
        issues = response.json()
        new = [issue for issue in issues if not (issue["updated_at"] == since and issue["id"] in seen)]
        table.write(row(issue) for issue in new if config.pull_requests or "pull_request" not in issue)
        read += len(new)
        osiris.progress(read)
        before = since
        if issues and issues[-1]["updated_at"] != since:
            since, seen = issues[-1]["updated_at"], set()
        seen |= {issue["id"] for issue in issues if issue["updated_at"] == since}
        if response.link("next") is None:
            break
        # A page full of issues of one second leads to the next page of that second.
        page = page + 1 if since == before else 1
    if config.incremental and since is not None:
        osiris.state.set({"updated_at": since, "ids": sorted(seen)})


def row(issue: dict) -> dict:
    return {
        "id": issue["id"],
        "number": issue["number"],
        "title": issue["title"],
        "status": issue["state"],
        "status_reason": issue.get("state_reason"),
        "author": (issue["user"] or {}).get("login"),
        "labels": [label["name"] for label in issue["labels"]],
        "assignees": [assignee["login"] for assignee in issue["assignees"]],
        "milestone": (issue["milestone"] or {}).get("title"),
        "comments": issue["comments"],
        "body": issue["body"],
        "locked": issue["locked"],
        "is_pull_request": "pull_request" in issue,
        "url": issue["html_url"],
        "created_at": issue["created_at"],
        "updated_at": issue["updated_at"],
        "closed_at": issue["closed_at"],
    }


@osiris.check
def check(config: Config):
    return f"GitHub repository {session(config).get().json()['full_name']}"
