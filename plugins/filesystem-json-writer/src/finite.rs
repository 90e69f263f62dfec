//! JSON has no NaN and no infinity, which DuckDB writes nevertheless: they become null, nested ones too.

use osiris_sdk::sql::{quote_name, quote_text};

/// The SQL of `value` without what JSON lacks; `None` where its type (as DuckDB names it) holds no such number.
pub fn finite(value: &str, kind: &str) -> Option<String> {
    rewrite(value, kind, 0)
}

fn rewrite(value: &str, kind: &str, depth: usize) -> Option<String> {
    let kind = kind.trim();
    if matches!(kind, "DOUBLE" | "FLOAT") {
        return Some(format!("case when isfinite({value}) then {value} end"));
    }
    if kind.ends_with(']') {
        let open = kind.rfind('[')?;
        let item = format!("item{depth}");
        let inner = rewrite(&item, &kind[..open], depth + 1)?;
        return Some(format!("list_transform({value}, lambda {item}: {inner})"));
    }
    if let Some(members) = inside(kind, "STRUCT(") {
        let members: Vec<(String, &str)> = split(members).into_iter().filter_map(member).collect();
        let mut changed = false;
        let values: Vec<String> = members
            .iter()
            .map(|(name, kind)| {
                let own = format!("struct_extract({value}, {})", quote_text(name));
                let inner = rewrite(&own, kind, depth);
                changed |= inner.is_some();
                format!("{} := {}", quote_name(name), inner.unwrap_or(own))
            })
            .collect();
        return changed.then(|| format!("case when {value} is not null then struct_pack({}) end", values.join(", ")));
    }
    if let Some(parts) = inside(kind, "MAP(") {
        let parts = split(parts);
        let [_, values] = parts.as_slice() else { return None };
        let entry = format!("entry{depth}");
        let inner = rewrite(&format!("{entry}.value"), values, depth + 1)?;
        return Some(format!(
            "map_from_entries(list_transform(map_entries({value}), lambda {entry}: struct_pack(key := {entry}.key, value := {inner})))"
        ));
    }
    None
}

fn inside<'a>(kind: &'a str, opening: &str) -> Option<&'a str> {
    kind.strip_prefix(opening)?.strip_suffix(')')
}

/// The parts between commas, those inside brackets and quotes not counted.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (place, character) in text.char_indices() {
        match character {
            '"' | '\'' if quote.is_none() => quote = Some(character),
            _ if quote == Some(character) => quote = None,
            _ if quote.is_some() => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A struct's member: its name without quotes, and its type.
fn member(text: &str) -> Option<(String, &str)> {
    let text = text.trim();
    let Some(quoted) = text.strip_prefix('"') else {
        let (name, kind) = text.split_once(' ')?;
        return Some((name.to_owned(), kind));
    };
    let mut from = 0;
    loop {
        let end = from + quoted[from..].find('"')?;
        if quoted[end + 1..].starts_with('"') {
            from = end + 2;
        } else {
            return Some((quoted[..end].replace("\"\"", "\""), &quoted[end + 1..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_without_such_numbers_stay_as_they_are() {
        for kind in [
            "BIGINT",
            "VARCHAR[]",
            "STRUCT(a INTEGER, \"b DOUBLE\" VARCHAR)",
            "MAP(DOUBLE, VARCHAR)",
            "ENUM('DOUBLE', 'b')",
        ] {
            assert_eq!(finite("x", kind), None, "{kind}");
        }
    }

    #[test]
    fn numbers_are_reached_inside_lists_structs_and_maps() {
        assert_eq!(finite("x", "DOUBLE").as_deref(), Some("case when isfinite(x) then x end"));
        let list = finite("x", "FLOAT[3]").unwrap_or_default();
        assert_eq!(list, "list_transform(x, lambda item0: case when isfinite(item0) then item0 end)");
        let nested = finite("x", "STRUCT(\"a \"\", b\" STRUCT(c DOUBLE[])[], d DECIMAL(10,2))").unwrap_or_default();
        assert!(nested.contains("struct_extract(x, 'a \", b')"), "{nested}");
        assert!(nested.contains("\"d\" := struct_extract(x, 'd')"), "{nested}");
        assert!(nested.contains("lambda item1: case when isfinite(item1)"), "{nested}");
        assert!(finite("x", "MAP(VARCHAR, DOUBLE)").is_some_and(|map| map.contains("entry0.value")));
    }
}
