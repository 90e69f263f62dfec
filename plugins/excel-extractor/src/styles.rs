//! What the number format of a cell makes of its number: Excel stores dates, times and durations as numbers of days.

use std::collections::HashMap;

use osiris_sdk::Result;

use crate::xml::{Node, Xml};

/// The most formats that are remembered; Excel allows 65,490 styles of cells.
const MAX_STYLES: usize = 100_000;

/// What a format shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// A number as it is.
    #[default]
    Number,
    /// A date, without or with a time.
    Date,
    Timestamp,
    /// A time of day.
    Time,
    /// Elapsed time: `[h]:mm`.
    Duration,
}

/// The looks of the workbook's cell styles, by their numbers.
#[derive(Debug, Default)]
pub struct Styles(Vec<Look>);

impl Styles {
    /// # Errors
    /// `data` for a part that cannot be read.
    pub fn read(xml: &mut Xml) -> Result<Self> {
        let mut own: HashMap<u32, Look> = HashMap::new();
        let mut looks = Vec::new();
        let mut in_cells = false;
        loop {
            match xml.next_node()? {
                Node::Open(tag) if tag.is("numFmt") && own.len() < MAX_STYLES => {
                    let number = tag.attribute("numFmtId")?.and_then(|number| number.parse().ok());
                    if let (Some(number), Some(code)) = (number, tag.attribute("formatCode")?) {
                        own.insert(number, of_code(&code));
                    }
                }
                Node::Open(tag) if tag.is("cellXfs") => in_cells = true,
                Node::Close(tag) if tag.is("cellXfs") => in_cells = false,
                Node::Open(tag) if in_cells && tag.is("xf") && looks.len() < MAX_STYLES => {
                    let number = tag.attribute("numFmtId")?.and_then(|number| number.parse().ok()).unwrap_or(0);
                    looks.push(own.get(&number).copied().unwrap_or_else(|| built_in(number)));
                }
                Node::Eof => return Ok(Self(looks)),
                _ => {}
            }
        }
    }

    /// The look of a style; a style that does not exist shows numbers.
    pub fn look(&self, style: usize) -> Look {
        self.0.get(style).copied().unwrap_or_default()
    }
}

/// The formats that every workbook has (ECMA-376 part 1, 18.8.30), including those of East Asian languages.
fn built_in(number: u32) -> Look {
    match number {
        14..=17 | 27..=31 | 36 | 50..=54 | 57 | 58 => Look::Date,
        18..=21 | 32..=35 | 45 | 47 | 55 | 56 => Look::Time,
        22 => Look::Timestamp,
        46 => Look::Duration,
        _ => Look::Number,
    }
}

/// The look of a format such as `yyyy-mm-dd hh:mm`: by the letters of its first section that are no text.
fn of_code(code: &str) -> Look {
    let (mut day, mut clock, mut month) = (false, false, false);
    let code = code.to_ascii_lowercase().replace("general", "");
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ';' => break,
            '"' => characters.by_ref().take_while(|c| *c != '"').for_each(drop),
            '\\' | '_' | '*' => drop(characters.next()),
            '[' => {
                let inside: String = characters.by_ref().take_while(|c| *c != ']').collect();
                let elapsed =
                    ["h", "m", "s"].iter().any(|unit| !inside.is_empty() && inside.replace(unit, "").is_empty());
                if elapsed {
                    return Look::Duration;
                }
            }
            // The exponent of a number: `0.00E+00`.
            'e' if matches!(characters.peek(), Some('+' | '-')) => drop(characters.next()),
            'y' | 'd' | 'e' | 'b' => day = true,
            'h' | 's' => clock = true,
            'm' => month = true,
            _ => {}
        }
    }
    match (day, clock, month) {
        (true, true, _) => Look::Timestamp,
        (true, false, _) | (false, false, true) => Look::Date,
        // Beside hours or seconds, `m` means minutes.
        (false, true, _) => Look::Time,
        (false, false, false) => Look::Number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_shows_dates_by_its_letters_outside_of_texts() {
        for (code, look) in [
            ("General", Look::Number),
            ("[Red]General;-General", Look::Number),
            ("0.00E+00", Look::Number),
            ("#,##0.00 \"days\"", Look::Number),
            ("0\\d", Look::Number),
            ("[Red]0;[Blue]yyyy", Look::Number),
            ("_-* #,##0.00\\ [$€-407]_-", Look::Number),
            ("yyyy-mm-dd", Look::Date),
            ("[$-409]mmm\\-yy;@", Look::Date),
            ("mmmm", Look::Date),
            ("DD/MM/YYYY HH:MM", Look::Timestamp),
            ("h:mm AM/PM", Look::Time),
            ("mm:ss.0", Look::Time),
            ("[h]:mm:ss", Look::Duration),
            ("[mm]:ss", Look::Duration),
        ] {
            assert_eq!(of_code(code), look, "{code}");
        }
    }
}
