//! The character set of a body: by its byte-order mark, or else the declared charset, or else UTF-8.

use crate::{Error, Result};

/// Windows-1252 from 0x80 to 0x9F; the five null entries are undefined. By the WHATWG Encoding Standard, which servers
/// follow, it is also used for ISO-8859-1 and ASCII.
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“', '”', '•',
    '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Utf16Le,
    Utf16Be,
    Windows1252,
}

/// The body's text without its byte-order mark.
///
/// # Errors
/// `data` for a charset that is not supported, and for bytes that are invalid in it.
pub(super) fn decode(bytes: &[u8], declared_name: Option<&str>) -> Result<String> {
    let (charset, bytes) = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => (Charset::Utf8, rest),
        [0xff, 0xfe, rest @ ..] => (Charset::Utf16Le, rest),
        [0xfe, 0xff, rest @ ..] => (Charset::Utf16Be, rest),
        _ => (declared(bytes, declared_name)?, bytes),
    };
    match charset {
        Charset::Utf8 => std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
            let place = error.valid_up_to();
            Error::data(format!(
                "it is not UTF-8: byte {} is {:#04x}; a server that sends another encoding must name it by `charset` in \
                 `content-type`, and a compression by `content-encoding`",
                place + 1,
                bytes[place]
            ))
        }),
        Charset::Utf16Le => utf16(bytes, u16::from_le_bytes),
        Charset::Utf16Be => utf16(bytes, u16::from_be_bytes),
        Charset::Windows1252 => bytes.iter().enumerate().map(|(place, &byte)| windows_1252(place, byte)).collect(),
    }
}

/// The declared charset, or else the one that the zeros in the first character indicate (JSON starts with an ASCII
/// character).
fn declared(bytes: &[u8], name: Option<&str>) -> Result<Charset> {
    let Some(name) = name else {
        return Ok(match bytes {
            [0, first, ..] if first.is_ascii() && *first != 0 => Charset::Utf16Be,
            [first, 0, ..] if first.is_ascii() && *first != 0 => Charset::Utf16Le,
            _ => Charset::Utf8,
        });
    };
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => Ok(Charset::Utf8),
        // Without a byte-order mark, RFC 2781 assumes big-endian; JSON's first byte is a better indication.
        "utf-16" | "utf16" if matches!(bytes, [first, 0, ..] if *first != 0) => Ok(Charset::Utf16Le),
        "utf-16" | "utf16" | "utf-16be" => Ok(Charset::Utf16Be),
        "utf-16le" => Ok(Charset::Utf16Le),
        "us-ascii" | "ascii" if std::str::from_utf8(bytes).is_ok() => Ok(Charset::Utf8),
        "us-ascii" | "ascii" | "iso-8859-1" | "iso8859-1" | "latin1" | "latin-1" | "windows-1252" | "cp1252" => {
            Ok(Charset::Windows1252)
        }
        _ => Err(Error::data(format!(
            "it is in the charset `{}`, which cannot be read; there are: utf-8, utf-16, utf-16le, utf-16be, us-ascii, \
             iso-8859-1, windows-1252",
            name.escape_debug()
        ))),
    }
}

/// Whether the bytes are more likely UTF-8 than the declared charset: all non-ASCII bytes form valid UTF-8 characters,
/// which is hardly ever the case for text in another charset.
pub(super) fn looks_like_utf8(bytes: &[u8], name: Option<&str>) -> bool {
    !bytes.is_ascii()
        && matches!(declared(bytes, name), Ok(Charset::Windows1252))
        && std::str::from_utf8(bytes).is_ok_and(|text| !text.starts_with('\u{feff}'))
}

/// The value of `charset` in a content type such as `application/json; charset="utf-8"`.
pub(super) fn parameter(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches(['"', '\''])).filter(|value| !value.is_empty())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let malformed = |place: usize| Error::data(format!("it is not UTF-16: byte {place} does not begin a character"));
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed(bytes.len()));
    }
    let mut place = 1;
    let mut text = String::with_capacity(bytes.len() / 2);
    for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let character = character.map_err(|_| malformed(place))?;
        place += character.len_utf16() * 2;
        text.push(character);
    }
    Ok(text)
}

fn windows_1252(place: usize, byte: u8) -> Result<char> {
    match byte {
        0x80..=0x9f => match WINDOWS_1252[usize::from(byte - 0x80)] {
            '\0' => Err(Error::data(format!("it is not windows-1252: byte {} is {byte:#04x}", place + 1))),
            known => Ok(known),
        },
        other => Ok(char::from(other)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wide(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn marks_and_charsets_are_respected() {
        let text = r#"["é€😀"]"#;
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        let (le, be) = (wide(text, u16::to_le_bytes), wide(text, u16::to_be_bytes));
        for (bytes, content_type) in [
            (text.as_bytes().to_vec(), None),
            (text.as_bytes().to_vec(), Some("application/json")),
            (text.as_bytes().to_vec(), Some("application/json; Charset=\"UTF-8\"")),
            (marked(&[0xef, 0xbb, 0xbf], text.as_bytes().to_vec()), Some("application/json; charset=latin-1")),
            (marked(&[0xff, 0xfe], le.clone()), Some("application/json; charset=utf-16")),
            (marked(&[0xfe, 0xff], be.clone()), None),
            (le.clone(), Some("text/json; charset=utf-16le")),
            (le, Some("text/json;charset=UTF-16")),
            (be.clone(), Some("text/json; charset=utf-16")),
            (be, None),
        ] {
            assert_eq!(decode(&bytes, content_type.and_then(parameter)).unwrap(), text, "{content_type:?}");
        }
        for charset in ["ISO-8859-1", "latin1", "windows-1252", "us-ascii"] {
            let content_type = format!("application/json; charset={charset}");
            let name = parameter(&content_type);
            assert_eq!(decode(b"\"\xe9 \x80\"", name).unwrap(), "\"é €\"");
            assert!(!looks_like_utf8(b"\"\xe9 \x80\"", name) && !looks_like_utf8(b"[]", name));
            assert_eq!(looks_like_utf8("é".as_bytes(), name), charset != "us-ascii");
        }
    }

    #[test]
    fn bytes_that_are_invalid_in_the_charset_are_refused() {
        for (bytes, content_type, words) in [
            (b"[\xe9]".as_slice(), None, "not UTF-8: byte 2 is 0xe9"),
            (b"[]", Some("application/json; charset=koi8-r"), "`koi8-r`"),
            (b"\x81", Some("a/b; charset=cp1252"), "byte 1 is 0x81"),
            (b"\xff\xfe[", None, "not UTF-16"),
            (b"\xff\xfe\x00\xd8", None, "not UTF-16"),
        ] {
            let error = decode(bytes, content_type.and_then(parameter)).unwrap_err();
            assert!(error.message.contains(words), "{error}");
        }
    }
}
