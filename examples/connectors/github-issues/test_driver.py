"""Runs the driver natively, with recorded exchanges."""

import driver
import pytest

import osiris_sdk as osiris
from osiris_sdk.testing import Exchange, run

URL = "https://api.github.com/repos/octo/hello/issues"
ASKED = "state=all&sort=updated&direction=asc&per_page=2"
CONFIG = {"owner": "octo", "repository": "hello", "page_size": 2, "incremental": True}


def issue(id: int, second: int, **more) -> dict:
    at = f"2024-01-31T10:00:{second:02}Z"
    return {
        "id": id, "number": id, "title": f"issue {id}", "state": "open", "state_reason": None, "user": {"login": "ada"},
        "labels": [{"name": "bug"}], "assignees": [], "milestone": None, "comments": 0, "body": None, "locked": False,
        "html_url": f"https://github.com/octo/hello/issues/{id}", "created_at": at, "updated_at": at, "closed_at": None,
    } | more  # fmt: skip


def listed(query: str, *issues: dict, more: bool = False) -> Exchange:
    headers = {"link": f'<{URL}?page=2>; rel="next"'} if more else {}
    return Exchange(f"{URL}?{ASKED}{query}", json=list(issues), headers=headers)


def test_a_list_is_read_by_its_order_and_each_issue_once():
    first = "&since=2024-01-31T10:00:02Z"
    result = run(
        driver.extract,
        config=CONFIG,
        http=[
            listed("", issue(1, 1), issue(2, 2), more=True),
            # Three issues of one second: the second page of that second follows.
            listed(first, issue(2, 2), issue(3, 2), more=True),
            listed(first + "&page=2", issue(4, 2), issue(5, 3, pull_request={}), more=True),
            listed("&since=2024-01-31T10:00:03Z", issue(5, 3, pull_request={})),
        ],
    )
    assert [row["id"] for row in result.rows()] == [1, 2, 3, 4], "the pull request is left out"
    assert result.state == {"updated_at": "2024-01-31T10:00:03Z", "ids": [5]}
    assert result.rows()[0]["labels"] == ["bug"] and result.types()["updated_at"] == "TIMESTAMPTZ"


def test_the_next_run_reads_what_was_updated_since():
    state = {"updated_at": "2024-01-31T10:00:03Z", "ids": [5]}
    since = "&since=2024-01-31T10:00:03Z"
    result = run(driver.extract, config=CONFIG, state=state, http=[listed(since, issue(5, 3), issue(6, 3))])
    assert [row["id"] for row in result.rows()] == [6]
    assert result.state == {"updated_at": "2024-01-31T10:00:03Z", "ids": [5, 6]}
    again = run(driver.extract, config=CONFIG, state=result.state, http=[listed(since, issue(5, 3), issue(6, 3))])
    assert again.rows() == [] and again.state == result.state


def test_the_limit_of_requests_is_an_error_of_the_rate():
    limited = Exchange(
        f"{URL}?{ASKED}", status=403, json={"message": "API rate limit exceeded"},
        headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4000000000"},
    )  # fmt: skip
    with pytest.raises(osiris.RateLimitedError, match="API rate limit exceeded"):
        run(driver.extract, config=CONFIG, http=[limited])


def test_a_repository_is_checked_by_its_name():
    exchange = Exchange("https://api.github.com/repos/octo/hello", json={"full_name": "octo/Hello"})
    assert run(driver.check, config=CONFIG, http=[exchange]).returned == "GitHub repository octo/Hello"
