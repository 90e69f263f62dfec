//! What `jsonb` would drop: it keeps only the last of equal keys in an object, and does not allow NUL in texts.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// Why a JSON text does not survive in `jsonb`; `None` if it does, or if it is not JSON, which the server refuses.
pub fn loss(text: &[u8]) -> Option<String> {
    let mut objects: Vec<Option<BTreeSet<Cow<'_, [u8]>>>> = Vec::new();
    let mut place = 0;
    while let Some(byte) = text.get(place) {
        place += 1;
        match byte {
            b'{' => objects.push(Some(BTreeSet::new())),
            b'[' => objects.push(None),
            b'}' | b']' => {
                objects.pop();
            }
            b'"' => {
                let start = place;
                place = end_of_string(text, start)?;
                let raw = &text[start..place - 1];
                let content = unescaped(raw);
                if content.contains(&0) {
                    return Some("JSON with a NUL character in a text, which `jsonb` cannot hold".to_owned());
                }
                let after = text[place..].iter().find(|byte| !byte.is_ascii_whitespace());
                if let (Some(b':'), Some(Some(keys))) = (after, objects.last_mut()) {
                    if keys.contains(&content) {
                        let key: String = String::from_utf8_lossy(&content).chars().take(40).collect();
                        return Some(format!(
                            "JSON with the key `{key}` twice in one object, of which `jsonb` would lose the first; write it \
                             to a column of type `json` or `text`, or make the keys unique in SQL"
                        ));
                    }
                    keys.insert(content);
                }
            }
            _ => {}
        }
    }
    None
}

/// The position after the quote that ends the string starting at `start`.
fn end_of_string(text: &[u8], start: usize) -> Option<usize> {
    let mut place = start;
    loop {
        match text.get(place)? {
            b'\\' => place += 2,
            b'"' => return Some(place + 1),
            _ => place += 1,
        }
    }
}

/// A string's content, for the comparison of keys. Surrogate pairs are not combined, which suffices for that.
fn unescaped(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else { break };
        rest = after;
        match escape {
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'u' => {
                let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                rest = rest.get(4..).unwrap_or_default();
                match number.and_then(char::from_u32) {
                    Some(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    // No text contains these bytes, so an unpaired surrogate only equals itself.
                    None => bytes
                        .extend([0xff].into_iter().chain(number.unwrap_or_default().to_be_bytes().map(|b| b | 0x80))),
                }
            }
            other => bytes.push(*other),
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_and_nuls_are_found() {
        for lossless in [
            r#"{"a": 1, "b": {"a": 2}, "c": [{"k": 1}, {"k": 2}]}"#,
            r#"["a", "a", {"x": "x"}]"#,
            r#"{"a\"": 1, "a": "a: \"a\":"}"#,
            r#"{"\ud83d\ude00": 1, "\ud83d\ude01": 2}"#,
            "\"\\\\u0000\"",
            "5",
            r#"{"a": "#,
            r#"{"a"#,
        ] {
            assert_eq!(loss(lossless.as_bytes()), None, "{lossless}");
        }
        for (lossy, word) in [
            (r#"{"a": 1, "a": 2}"#, "`a` twice"),
            (r#"[{"b": {"x": 1, "y": 2, "x" : 3}}]"#, "`x` twice"),
            (r#"{"a": 1, "\u0061": 2}"#, "`a` twice"),
            (r#"{"a": "\u0000"}"#, "NUL"),
        ] {
            assert!(loss(lossy.as_bytes()).is_some_and(|found| found.contains(word)), "{lossy}");
        }
    }
}
