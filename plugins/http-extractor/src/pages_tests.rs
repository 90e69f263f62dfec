#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

fn pager(options: Value) -> Pager {
    let address = Url::parse("https://h/items?x=1").unwrap();
    Pager::new(serde_json::from_value(options).unwrap(), address, 100, false).unwrap()
}

/// Feeds responses (their JSON, link header and record count); returns what was requested after each.
fn run(pager: &mut Pager, answers: &[(Value, &str, usize)]) -> Vec<Option<Ask>> {
    let from = Url::parse("https://h/items?x=1").unwrap();
    let mut asked = vec![Some(pager.first().unwrap())];
    for (place, (json, link, count)) in answers.iter().enumerate() {
        let hint = pager.look(Some(json), link).unwrap();
        asked.push(pager.next(&hint, *count, &[place as u8], &from).unwrap());
    }
    asked
}

fn params(ask: Option<&Ask>) -> Option<String> {
    ask.map(|ask| ask.params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
}

#[test]
fn pages_and_offsets_count_on_until_a_page_is_empty() {
    let table = [
        (
            json!({"type": "page", "size_param": "per_page", "size": 2}),
            ["per_page=2&page=1", "per_page=2&page=2", "per_page=2&page=3"],
        ),
        (json!({"type": "page", "param": "p", "start": 0}), ["p=0", "p=1", "p=2"]),
        (
            json!({"type": "offset", "size_param": "limit", "size": 2}),
            ["limit=2&offset=0", "limit=2&offset=2", "limit=2&offset=3"],
        ),
    ];
    for (options, expected) in table {
        let asked = run(&mut pager(options), &[(json!(1), "", 2), (json!(1), "", 1), (json!(1), "", 0)]);
        let found: Vec<_> = asked.iter().map(|ask| params(ask.as_ref())).collect();
        let expected: Vec<_> = expected.iter().map(|text| Some((*text).to_owned())).chain([None]).collect();
        assert_eq!(found, expected);
    }
    let asked = run(&mut pager(json!({"type": "page", "last_page": "short"})), &[(json!(1), "", 2), (json!(1), "", 1)]);
    assert_eq!(asked.last().unwrap(), &None);
    let asked = run(
        &mut pager(json!({"type": "page", "has_more_path": "more"})),
        &[(json!({"more": true}), "", 2), (json!({"more": false}), "", 2)],
    );
    assert_eq!((asked.len(), asked.last().unwrap()), (3, &None));
}

#[test]
fn cursors_links_and_addresses_are_followed() {
    let mut by_cursor = pager(json!({"type": "cursor", "path": "$.next", "param": "after"}));
    let asked = run(
        &mut by_cursor,
        &[(json!({"next": "ab"}), "", 1), (json!({"next": 7}), "", 0), (json!({"next": null}), "", 1)],
    );
    assert_eq!(
        asked.iter().map(|ask| params(ask.as_ref())).collect::<Vec<_>>(),
        [Some(String::new()), Some("after=\"ab\"".to_owned()), Some("after=7".to_owned()), None]
    );
    let mut by_link = pager(json!({"type": "link"}));
    let asked = run(
        &mut by_link,
        &[(json!([]), "</items?page=2>; rel=\"next\"", 1), (json!([]), "</items?page=1>; rel=\"prev\"", 1)],
    );
    assert_eq!(asked[1].as_ref().unwrap().url.as_ref().unwrap().to_string(), "https://h/items?page=2");
    assert_eq!(asked[2], None);
    let mut by_url = pager(json!({"type": "next_url", "path": "links.next"}));
    let asked =
        run(&mut by_url, &[(json!({"links": {"next": "https://h/items?c=2"}}), "", 1), (json!({"links": {}}), "", 1)]);
    assert_eq!(asked[1].as_ref().unwrap().url.as_ref().unwrap().to_string(), "https://h/items?c=2");
    assert_eq!(asked[2], None);
}

#[test]
fn circles_other_hosts_and_invalid_values_are_refused() {
    let from = Url::parse("https://h/items").unwrap();
    let mut circle = pager(json!({"type": "cursor", "path": "next"}));
    circle.first().unwrap();
    let hint = || Hint { next: Some(json!("a")), ..Hint::default() };
    circle.next(&hint(), 1, b"1", &from).unwrap();
    assert!(circle.next(&hint(), 1, b"2", &from).unwrap_err().message.contains("circles"));
    let mut same = pager(json!({"type": "page"}));
    same.first().unwrap();
    same.next(&Hint::default(), 1, b"1", &from).unwrap();
    assert!(same.next(&Hint::default(), 1, b"1", &from).unwrap_err().message.contains("same page twice"));
    let mut other = pager(json!({"type": "next_url", "path": "next"}));
    other.first().unwrap();
    for next in ["https://evil/items", "http://h/items", "//evil/x"] {
        let refused = other.next(&Hint { next: Some(json!(next)), ..Hint::default() }, 1, b"1", &from).unwrap_err();
        assert!(matches!(refused.kind, ErrorKind::Data | ErrorKind::Denied), "{refused:?}");
    }
    assert!(other.look(Some(&json!({})), "").unwrap().next.is_none());
    let options = serde_json::from_value(json!({"type": "cursor"})).unwrap();
    assert!(Pager::new(options, from, 1, false).is_err());
}

#[test]
fn an_empty_page_that_names_an_earlier_one_is_the_end() {
    let from = Url::parse("https://h/items?x=1").unwrap();
    for (options, first, repeated) in [
        (json!({"type": "cursor", "path": "next"}), json!({"next": "b"}), json!({"next": "b"})),
        (json!({"type": "cursor", "path": "next"}), json!({"next": -1}), json!({"next": -1})),
        (json!({"type": "cursor", "path": "next"}), json!({"next": 0}), json!({"next": 0})),
        (
            json!({"type": "next_url", "path": "next"}),
            json!({"next": "/items?p=2"}),
            json!({"next": "https://h/items?p=2"}),
        ),
        (json!({"type": "next_url", "path": "next"}), json!({"next": "/items?p=2"}), json!({"next": "/items?x=1"})),
    ] {
        let mut pager = pager(options);
        pager.first().unwrap();
        let hint = pager.look(Some(&first), "").unwrap();
        assert!(pager.next(&hint, 1, b"1", &from).unwrap().is_some());
        let hint = pager.look(Some(&repeated), "").unwrap();
        assert_eq!(pager.next(&hint, 0, b"", &from).unwrap(), None, "{repeated}");
        assert!(pager.take_notes().is_empty());
        assert!(pager.next(&hint, 1, b"2", &from).unwrap_err().message.contains("circles"), "{repeated}");
    }
    let mut by_link = pager(json!({"type": "link"}));
    by_link.first().unwrap();
    let hint = by_link.look(None, "</items?x=1>; rel=next").unwrap();
    assert_eq!(by_link.next(&hint, 0, b"", &from).unwrap(), None);
    let mut says_more = pager(json!({"type": "cursor", "path": "next", "has_more_path": "more"}));
    says_more.first().unwrap();
    let hint = says_more.look(Some(&json!({"next": "a", "more": true})), "").unwrap();
    says_more.next(&hint, 1, b"1", &from).unwrap();
    assert_eq!(says_more.next(&hint, 0, b"", &from).unwrap(), None);
    assert!(says_more.take_notes()[0].contains("page 2 is empty, says that there is more"));
}

#[test]
fn the_servers_own_sign_takes_precedence_over_an_empty_page() {
    let from = Url::parse("https://h/items?x=1").unwrap();
    let next = |options: Value, json: Value, count| {
        let mut pager = pager(options);
        pager.first().unwrap();
        let hint = pager.look(Some(&json), "")?;
        pager.next(&hint, count, b"1", &from).map(|ask| params(ask.as_ref()))
    };
    let by_page = || json!({"type": "page", "has_more_path": "$.meta.more"});
    for (json, count, expected) in [
        (json!({"meta": {"more": true}}), 0, Some("page=2")),
        (json!({"meta": {"more": false}}), 5, None),
        (json!({"meta": {"more": "true"}}), 5, Some("page=2")),
        (json!({"meta": {"more": 3}}), 5, Some("page=2")),
        (json!({"meta": {"more": 0}}), 5, None),
        (json!({"meta": {}}), 0, None),
    ] {
        assert_eq!(next(by_page(), json.clone(), count).unwrap().as_deref(), expected, "{json}");
    }
    for (json, words) in [
        (json!({"meta": {"has_more": true, "page": 1}}), "`$.meta.more`: `$.meta` is an object of `has_more`, `page`"),
        (json!({"data": []}), "`$` is an object of `data`"),
        (json!({"meta": {"more": null}}), "it is null"),
        (json!({"meta": {"more": "perhaps"}}), "where true or false was expected"),
    ] {
        let error = next(by_page(), json, 1).unwrap_err();
        assert!(error.message.contains(words), "{error}");
    }
    let by_offset = |more: Value| json!({"type": "offset", "has_more_path": "more", "size_param": "n", "size": more});
    assert_eq!(next(by_offset(json!(10)), json!({"more": true}), 0).unwrap().as_deref(), Some("n=10&offset=10"));
    assert!(next(json!({"type": "offset", "has_more_path": "more"}), json!({"more": true}), 0).is_err());
    let error =
        next(json!({"type": "cursor", "path": "next", "has_more_path": "more"}), json!({"more": true}), 1).unwrap_err();
    assert!(error.message.contains("says that there is more, but not where"), "{error}");
}

#[test]
fn a_path_that_matches_nothing_on_the_first_page_is_noted() {
    let from = Url::parse("https://h/items?x=1").unwrap();
    for (json, count, noted) in [
        (json!({"meta": {"next": null}}), 1, false),
        (json!({"meta": {"next": ""}}), 1, false),
        (json!({"meta": {"nxt": "a"}}), 1, true),
        (json!({"meta": {"nxt": "a"}}), 0, false),
    ] {
        let mut pager = pager(json!({"type": "cursor", "path": "$.meta.next"}));
        pager.first().unwrap();
        let hint = pager.look(Some(&json), "").unwrap();
        assert_eq!(pager.next(&hint, count, b"1", &from).unwrap(), None);
        assert_eq!(!pager.take_notes().is_empty(), noted, "{json} {count}");
    }
    let mut pager = pager(json!({"type": "page"}));
    pager.first().unwrap();
    let hint = pager.look(None, "").unwrap();
    assert_eq!(pager.next(&hint, 0, b"", &from).unwrap(), None);
}
