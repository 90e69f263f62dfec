//! A part of the workbook as XML, node by node, within bounds of memory.
//!
//! A document type is refused, so no entity can be defined: there is nothing to expand.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use osiris_sdk::{Error, Result};
use quick_xml::events::{BytesEnd, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// The longest text or tag, in bytes. Excel allows 32,767 characters in a cell.
const MAX_NODE: usize = 16 << 20;

/// How deep elements may be nested.
const MAX_DEPTH: usize = 100;

/// How many bytes are read at once.
const CHUNK: usize = 64 << 10;

/// The content of a part, of which one node may take only so much.
struct Bounded {
    inner: BufReader<Box<dyn Read>>,
    left: usize,
}

impl Read for Bounded {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Bounded {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::other(format!("a text or tag is longer than {} MiB", MAX_NODE >> 20)));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.inner.consume(amount);
    }
}

/// A part being read.
pub struct Xml {
    part: String,
    reader: Reader<Bounded>,
    buffer: Vec<u8>,
    depth: usize,
}

/// What comes next in a part. An element without content is opened and closed.
pub enum Node<'a> {
    Open(Tag<'a>),
    Close(End<'a>),
    Text(Cow<'a, str>),
    /// A comment or the like.
    Other,
    /// The end of the part, all of whose elements are closed.
    Eof,
}

/// The start of an element.
pub struct Tag<'a> {
    start: BytesStart<'a>,
}

/// The end of an element.
pub struct End<'a>(BytesEnd<'a>);

impl End<'_> {
    /// The element's name, without its namespace.
    pub fn is(&self, name: &str) -> bool {
        self.0.local_name().as_ref() == name.as_bytes()
    }
}

impl Tag<'_> {
    /// Whether this is the element's name, without its namespace.
    pub fn is(&self, name: &str) -> bool {
        self.start.local_name().as_ref() == name.as_bytes()
    }

    /// Each attribute by its name without a namespace.
    ///
    /// # Errors
    /// `data` for malformed attributes.
    pub fn attributes(&self, mut take: impl FnMut(&[u8], Cow<'_, str>)) -> Result<()> {
        for attribute in self.start.attributes().with_checks(false) {
            let attribute = attribute.map_err(malformed)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(malformed)?;
            take(attribute.key.local_name().as_ref(), value);
        }
        Ok(())
    }

    /// The value of an attribute, by its name without a namespace.
    ///
    /// # Errors
    /// `data` for malformed attributes.
    pub fn attribute(&self, name: &str) -> Result<Option<String>> {
        let mut found = None;
        self.attributes(|key, value| {
            if key == name.as_bytes() {
                found = Some(value.into_owned());
            }
        })?;
        Ok(found)
    }

    /// Whether a boolean attribute is set.
    ///
    /// # Errors
    /// `data` for malformed attributes.
    pub fn is_set(&self, name: &str) -> Result<bool> {
        Ok(matches!(self.attribute(name)?.as_deref(), Some("1" | "true" | "on")))
    }
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::data(format!("it is not well-formed XML: {error}"))
}

impl Xml {
    /// `part` is the name of the part, for errors.
    pub fn new(part: &str, content: impl Read + 'static) -> Self {
        let inner: Box<dyn Read> = Box::new(content);
        let mut reader = Reader::from_reader(Bounded { inner: BufReader::with_capacity(CHUNK, inner), left: MAX_NODE });
        reader.config_mut().expand_empty_elements = true;
        Self { part: part.to_owned(), reader, buffer: Vec::new(), depth: 0 }
    }

    /// The next node.
    ///
    /// # Errors
    /// `data` for a part that is malformed, damaged, cut short or beyond the bounds.
    pub fn next_node(&mut self) -> Result<Node<'_>> {
        let Self { part, reader, buffer, depth } = self;
        buffer.clear();
        reader.get_mut().left = MAX_NODE;
        let event = match reader.read_event_into(buffer) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(cause)) => {
                // A failure of the host's stays what it is.
                let host = cause.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
                return Err(host.map_or_else(
                    || broken(part, &cause),
                    |error| error.clone().context(format_args!("its part `{part}` cannot be read")),
                ));
            }
            Err(error) => return Err(broken(part, &format!("it is not well-formed XML: {error}"))),
        };
        Ok(match event {
            Event::Start(start) => {
                *depth += 1;
                if *depth > MAX_DEPTH {
                    return Err(broken(part, &format!("elements are nested more than {MAX_DEPTH} deep")));
                }
                Node::Open(Tag { start })
            }
            Event::End(end) => {
                *depth = depth.saturating_sub(1);
                Node::Close(End(end))
            }
            Event::Text(text) => Node::Text(text.xml10_content().map_err(|error| broken(part, &error))?),
            Event::CData(text) => Node::Text(text.xml10_content().map_err(|error| broken(part, &error))?),
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|error| broken(part, &error))?;
                Node::Text(match (character, &*name) {
                    (Some(character), _) => Cow::Owned(character.to_string()),
                    (None, b"amp") => Cow::Borrowed("&"),
                    (None, b"lt") => Cow::Borrowed("<"),
                    (None, b"gt") => Cow::Borrowed(">"),
                    (None, b"quot") => Cow::Borrowed("\""),
                    (None, b"apos") => Cow::Borrowed("'"),
                    _ => return Err(broken(part, &"it refers to an entity, which no Excel file has")),
                })
            }
            Event::DocType(_) => return Err(broken(part, &"it has a document type, which no Excel file has")),
            Event::Eof if *depth > 0 => return Err(broken(part, &"it ends in the middle")),
            Event::Eof => Node::Eof,
            _ => Node::Other,
        })
    }
}

fn broken(part: &str, why: &dyn std::fmt::Display) -> Error {
    Error::data(format!("its part `{part}` cannot be read: {why}"))
}
