//! The texts that the cells of a workbook share, and texts in XML in general.

use osiris_sdk::{Error, Result};

use crate::xml::{Node, Xml};

/// The most memory for shared texts, in bytes, and the most of them. The driver has 512 MB by default.
const MAX_BYTES: usize = 192 << 20;
const MAX_TEXTS: usize = 8_000_000;

/// Texts are kept in blocks of about this size, so that memory grows in small steps.
const BLOCK: usize = 1 << 20;

/// The shared texts, by their numbers.
#[derive(Debug, Default)]
pub struct Texts {
    blocks: Vec<String>,
    /// The block of each text, and where the text is in it.
    places: Vec<(u32, u32, u32)>,
    bytes: usize,
}

impl Texts {
    /// # Errors
    /// `data` for a part that cannot be read, or whose texts are beyond the bounds.
    pub fn read(xml: &mut Xml) -> Result<Self> {
        let mut texts = Self::default();
        let mut text = Text::default();
        loop {
            match xml.next_node()? {
                Node::Open(tag) if tag.is("si") => text.clear(),
                Node::Close(tag) if tag.is("si") => texts.push(&text.decoded())?,
                Node::Eof => return Ok(texts),
                node => text.take(&node)?,
            }
        }
    }

    fn push(&mut self, text: &str) -> Result<()> {
        self.bytes += text.len();
        if self.bytes > MAX_BYTES || self.places.len() >= MAX_TEXTS {
            return Err(Error::data(format!(
                "its shared texts are more than {} MiB or {MAX_TEXTS} texts, which this driver does not hold; save the sheet as CSV",
                MAX_BYTES >> 20
            )));
        }
        if self.blocks.last().is_none_or(|block| block.len() + text.len() > BLOCK) {
            self.blocks.push(String::with_capacity(text.len().max(if self.blocks.is_empty() { 0 } else { BLOCK })));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let start = block.len();
        block.push_str(text);
        self.places.push((number as u32, start as u32, block.len() as u32));
        Ok(())
    }

    pub fn get(&self, number: usize) -> Option<&str> {
        let (block, start, end) = *self.places.get(number)?;
        self.blocks.get(block as usize)?.get(start as usize..end as usize)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }
}

/// A text that is made of runs (`r`) and their texts (`t`), without hints for its pronunciation (`rPh`).
#[derive(Debug, Default)]
pub struct Text {
    text: String,
    in_text: bool,
    hints: usize,
}

impl Text {
    pub fn clear(&mut self) {
        self.text.clear();
        (self.in_text, self.hints) = (false, 0);
    }

    /// Takes the next node inside of the text.
    ///
    /// # Errors
    /// `data` for a text that is too long.
    pub fn take(&mut self, node: &Node<'_>) -> Result<()> {
        match node {
            Node::Open(tag) if tag.is("t") => self.in_text = self.hints == 0,
            Node::Close(tag) if tag.is("t") => self.in_text = false,
            Node::Open(tag) if tag.is("rPh") => self.hints += 1,
            Node::Close(tag) if tag.is("rPh") => self.hints = self.hints.saturating_sub(1),
            Node::Text(text) if self.in_text => append(&mut self.text, text)?,
            _ => {}
        }
        Ok(())
    }

    /// The text, in which `_x000D_` stands for a character that XML cannot have.
    pub fn decoded(&self) -> std::borrow::Cow<'_, str> {
        decoded(&self.text)
    }
}

/// The longest text of a cell, in bytes.
const MAX_TEXT: usize = 16 << 20;

/// Appends to the text of a cell.
///
/// # Errors
/// `data` for a text that is too long.
pub fn append(text: &mut String, more: &str) -> Result<()> {
    if text.len() + more.len() > MAX_TEXT {
        return Err(Error::data(format!("a text is longer than {} MiB", MAX_TEXT >> 20)));
    }
    text.push_str(more);
    Ok(())
}

/// A text in which `_xHHHH_` is the character with that number in UTF-16 (ECMA-376 part 1, 22.9.2.19).
pub fn decoded(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains("_x") {
        return text.into();
    }
    let mut units: Vec<u16> = Vec::new();
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        let unit = rest.get(at + 2..at + 7).and_then(|code| code.strip_suffix('_'));
        let unit = unit.filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match unit.and_then(|code| u16::from_str_radix(code, 16).ok()) {
            Some(unit) => {
                if at > 0 {
                    flush(&mut units, &mut decoded);
                }
                decoded.push_str(&rest[..at]);
                units.push(unit);
                rest = &rest[at + 7..];
            }
            None => {
                flush(&mut units, &mut decoded);
                decoded.push_str(&rest[..at + 2]);
                rest = &rest[at + 2..];
            }
        }
    }
    flush(&mut units, &mut decoded);
    decoded.push_str(rest);
    decoded.into()
}

fn flush(units: &mut Vec<u16>, text: &mut String) {
    let characters = char::decode_utf16(units.drain(..));
    text.extend(characters.map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_characters_are_decoded() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a_x000D_\nb", "a\r\nb"),
            ("_x005F_x000D_", "_x000D_"),
            ("_xD83D__xDE00_!", "\u{1f600}!"),
            ("_xD83D_", "\u{fffd}"),
            ("_x12_x00e4_", "_x12ä"),
            ("_x", "_x"),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }
}
