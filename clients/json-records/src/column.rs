//! Builds columns from JSON text, value by value.

use std::collections::HashSet;

use crate::arrow::{Field, Node};

use crate::declared::Type;
use crate::members::{Member, Members};
use crate::number;
use crate::text::{Broken, Reader, Token, compact};
use crate::value::{self, Why};

/// Why a record cannot become a row.
#[derive(Debug, PartialEq)]
pub enum Fault {
    Broken(Broken),
    Misfit(Misfit),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// A value that does not fit the type of its column.
#[derive(Debug, PartialEq)]
pub struct Misfit {
    /// The names from the column down to the value.
    pub path: Vec<String>,
    /// A description of the value.
    pub found: &'static str,
    /// The value as JSON, shortened.
    pub value: String,
    /// The column's type; empty if there is no such column.
    pub kind: String,
    pub why: Why,
}

impl Misfit {
    pub fn new(raw: &str, kind: String, why: Why) -> Self {
        let mut value: String = raw.chars().take(60).collect();
        if value.len() < raw.len() {
            value.push('…');
        }
        Self { path: Vec::new(), found: what(raw), value, kind, why }
    }

    /// The same fault, in the member or item `name`.
    pub fn inside(fault: Fault, name: &str) -> Fault {
        match fault {
            Fault::Misfit(mut misfit) => {
                misfit.path.insert(0, name.to_owned());
                Fault::Misfit(misfit)
            }
            broken => broken,
        }
    }
}

/// One column being built.
pub struct Column {
    pub name: String,
    pub kind: Type,
    /// Whether the user declared the type, so that texts are parsed as it.
    declared: bool,
    validity: Validity,
    data: Data,
    /// How many blank texts became null.
    pub blanks: u64,
}

enum Data {
    Boolean(Validity),
    /// Values of one width, one after another.
    Fixed(Vec<u8>),
    /// Texts and bytes.
    Bytes(Vec<i32>, Vec<u8>),
    List(Vec<i32>, Box<Column>),
    /// Lists of equal length.
    Array(usize, Box<Column>),
    Map(Vec<i32>, Box<Column>, Box<Column>),
    Struct(Members),
}

/// One bit per value: which values are present, or which are true.
#[derive(Default)]
struct Validity {
    bits: Vec<u8>,
    length: usize,
    unset: usize,
}

impl Validity {
    fn push(&mut self, set: bool) {
        if self.length.is_multiple_of(8) {
            self.bits.push(0);
        }
        if let (true, Some(last)) = (set, self.bits.last_mut()) {
            *last |= 1 << (self.length % 8);
        }
        self.length += 1;
        self.unset += usize::from(!set);
    }

    fn truncate(&mut self, length: usize) {
        while self.length > length {
            self.length -= 1;
            let bit = 1_u8 << (self.length % 8);
            self.unset -= usize::from(self.bits[self.length / 8] & bit == 0);
            self.bits[self.length / 8] &= !bit;
        }
        self.bits.truncate(length.div_ceil(8));
    }
}

impl Column {
    pub fn new(name: String, kind: Type, declared: bool) -> Self {
        let item = |name: &str, kind: &Type| Box::new(Column::new(name.to_owned(), kind.clone(), declared));
        let data = match &kind {
            Type::Boolean => Data::Boolean(Validity::default()),
            Type::Varchar | Type::Json | Type::Blob | Type::Bit | Type::BigNum => Data::Bytes(Vec::new(), Vec::new()),
            Type::List(items) => Data::List(Vec::new(), item("item", items)),
            Type::Array(items, length) => Data::Array(*length as usize, item("item", items)),
            Type::Map(key, value) => Data::Map(Vec::new(), item("key", key), item("value", value)),
            Type::Struct(members) => {
                let member = |(name, kind): &(String, Type)| Member {
                    key: name.clone(),
                    column: Some((name.clone(), kind.clone(), declared)),
                };
                Data::Struct(Members::new(members.iter().map(member)))
            }
            _ => Data::Fixed(Vec::new()),
        };
        Self { name, kind, declared, validity: Validity::default(), data, blanks: 0 }
    }

    /// The same column without values.
    pub fn emptied(&self) -> Self {
        Self { blanks: self.blanks, ..Self::new(self.name.clone(), self.kind.clone(), self.declared) }
    }

    pub fn len(&self) -> usize {
        self.validity.length
    }

    /// The bytes of the last value in a column of scalars.
    fn last(&self) -> Vec<u8> {
        match &self.data {
            Data::Boolean(bits) => {
                let last = bits.length.saturating_sub(1);
                vec![bits.bits.get(last / 8).map_or(0, |byte| byte >> (last % 8) & 1)]
            }
            Data::Fixed(bytes) => bytes[bytes.len().saturating_sub(value::width(&self.kind))..].to_vec(),
            Data::Bytes(ends, bytes) => {
                let start = ends.len().checked_sub(2).map_or(0, |place| ends[place] as usize);
                bytes[start..].to_vec()
            }
            Data::List(..) | Data::Array(..) | Data::Map(..) | Data::Struct(_) => Vec::new(),
        }
    }

    /// Appends the next value of `reader`.
    pub fn push(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let first = reader.peek();
        match (&mut self.data, first) {
            (Data::List(ends, items), Some(b'[')) => {
                reader.token()?;
                let mut count = 0;
                while reader.item(count == 0)? {
                    items.push(reader).map_err(|fault| Misfit::inside(fault, &count.to_string()))?;
                    count += 1;
                }
                ends.push(end(items.len()));
            }
            (Data::Array(length, items), Some(b'[')) => {
                let before = reader.clone();
                reader.token()?;
                let mut count = 0;
                while reader.item(count == 0)? {
                    items.push(reader).map_err(|fault| Misfit::inside(fault, &count.to_string()))?;
                    count += 1;
                }
                if count != *length {
                    let raw = before.clone().raw().unwrap_or_default();
                    return Err(Fault::Misfit(Misfit::new(raw, self.kind.name(), Why::Length)));
                }
            }
            (Data::Struct(members), Some(b'{')) => {
                reader.token()?;
                members.push(reader)?;
            }
            (Data::Map(ends, keys, values), Some(b'{')) => {
                reader.token()?;
                let (mut is_first, mut seen) = (true, HashSet::new());
                while let Some(key) = reader.member(is_first)? {
                    is_first = false;
                    if keys.push_text(&key).is_err() {
                        let raw = format!("{key:?}");
                        return Err(Fault::Misfit(Misfit::new(&raw, keys.kind.name(), Why::Kind)));
                    }
                    // Two texts may be the same key: `1` and `01`.
                    if !seen.insert(keys.last()) {
                        let misfit = Misfit::new(reader.raw()?, values.kind.name(), Why::Twice);
                        return Err(Misfit::inside(Fault::Misfit(misfit), &key));
                    }
                    values.push(reader).map_err(|fault| Misfit::inside(fault, &key))?;
                }
                ends.push(end(keys.len()));
            }
            _ => return self.push_scalar(reader, first),
        }
        self.validity.push(true);
        Ok(())
    }

    fn push_scalar(&mut self, reader: &mut Reader<'_>, first: Option<u8>) -> Result<(), Fault> {
        let nested = matches!(first, Some(b'[' | b'{'));
        if self.kind == Type::Json || nested && self.kind == Type::Varchar {
            match reader.raw()? {
                "null" => self.push_null(),
                raw => self.push_bytes(compact(raw).as_bytes()),
            }
            return Ok(());
        }
        let before = reader.clone();
        let pushed = match reader.token()? {
            Token::Null => {
                self.push_null();
                Ok(())
            }
            Token::Text(text) => {
                let is_text = matches!(self.kind, Type::Varchar | Type::Blob | Type::Bit);
                if self.declared && !is_text && text.trim().is_empty() {
                    // Many services write an empty text if there is no number or date.
                    self.push_null();
                    self.blanks += 1;
                    Ok(())
                } else {
                    self.push_text(&text)
                }
            }
            Token::Number(token) => match &mut self.data {
                Data::Fixed(bytes) => value::encode(token, false, &self.kind, bytes).map(|()| self.validity.push(true)),
                Data::Boolean(bits) if self.declared => value::boolean(token).ok_or(Why::Kind).map(|truth| {
                    bits.push(truth);
                    self.validity.push(true);
                }),
                Data::Bytes(..) if self.kind == Type::Varchar => {
                    self.push_bytes(token.as_bytes());
                    Ok(())
                }
                Data::Bytes(..) if self.kind == Type::BigNum => {
                    number::bignum(token).map_err(Why::from).map(|bytes| self.push_bytes(&bytes))
                }
                _ => Err(Why::Kind),
            },
            Token::Boolean(truth) => match &mut self.data {
                Data::Boolean(bits) => {
                    bits.push(truth);
                    self.validity.push(true);
                    Ok(())
                }
                Data::Bytes(..) if self.kind == Type::Varchar => {
                    self.push_bytes(if truth { b"true" } else { b"false" });
                    Ok(())
                }
                _ => Err(Why::Kind),
            },
            Token::List | Token::Object => Err(Why::Kind),
        };
        pushed.map_err(|why| {
            let raw = before.clone().raw().unwrap_or_default();
            Fault::Misfit(Misfit::new(raw, self.kind.name(), why))
        })
    }

    /// Appends the value that a text represents.
    fn push_text(&mut self, text: &str) -> Result<(), Why> {
        use Type::{BigInt, BigNum, Bit, Blob, Decimal, Double, HugeInt, Varchar};
        match &mut self.data {
            // A column of inferred type contains texts only if it contains no numbers.
            Data::Fixed(_) if !self.declared && matches!(self.kind, BigInt | HugeInt | Decimal(..) | Double) => {
                return Err(Why::Kind);
            }
            Data::Fixed(bytes) => value::encode(text, true, &self.kind, bytes)?,
            Data::Boolean(bits) if self.declared => bits.push(value::boolean(text).ok_or(Why::Kind)?),
            Data::Bytes(..) => {
                match self.kind {
                    Varchar => self.push_bytes(text.as_bytes()),
                    Blob => self.push_bytes(&value::blob(text).ok_or(Why::Kind)?),
                    Bit => self.push_bytes(&value::bit(text).ok_or(Why::Kind)?),
                    BigNum => self.push_bytes(&number::bignum(text)?),
                    _ => return Err(Why::Kind),
                }
                return Ok(());
            }
            _ => return Err(Why::Kind),
        }
        self.validity.push(true);
        Ok(())
    }

    fn push_bytes(&mut self, value: &[u8]) {
        if let Data::Bytes(ends, bytes) = &mut self.data {
            bytes.extend_from_slice(value);
            ends.push(end(bytes.len()));
            self.validity.push(true);
        }
    }

    pub fn push_null(&mut self) {
        self.validity.push(false);
        match &mut self.data {
            Data::Boolean(bits) => bits.push(false),
            Data::Fixed(bytes) => bytes.resize(bytes.len() + value::width(&self.kind), 0),
            Data::Bytes(ends, _) | Data::List(ends, _) | Data::Map(ends, ..) => {
                ends.push(ends.last().copied().unwrap_or(0));
            }
            Data::Array(length, items) => (0..*length).for_each(|_| items.push_null()),
            Data::Struct(members) => members.push_null(),
        }
    }

    /// Removes all values from `length` on.
    pub fn truncate(&mut self, length: usize) {
        self.validity.truncate(length);
        let cut = |ends: &mut Vec<i32>| {
            ends.truncate(length);
            ends.last().copied().unwrap_or(0) as usize
        };
        match &mut self.data {
            Data::Boolean(bits) => bits.truncate(length),
            Data::Fixed(bytes) => bytes.truncate(length * value::width(&self.kind)),
            Data::Bytes(ends, bytes) => bytes.truncate(cut(ends)),
            Data::List(ends, items) => items.truncate(cut(ends)),
            Data::Array(width, items) => items.truncate(length * *width),
            Data::Map(ends, keys, values) => {
                let end = cut(ends);
                keys.truncate(end);
                values.truncate(end);
            }
            Data::Struct(members) => members.truncate(length),
        }
    }

    pub fn finish(self, fields: &mut Vec<Field>, nodes: &mut Vec<Node>) {
        let (format, metadata) = self.kind.format();
        let length = self.validity.length as u32;
        let children = match &self.data {
            Data::List(..) | Data::Array(..) | Data::Map(..) => 1,
            Data::Struct(members) => u32::try_from(members.width()).unwrap_or(u32::MAX),
            _ => 0,
        };
        fields.push(Field { name: self.name, format, nullable: true, children, metadata });
        let place = fields.len();
        let bitmap = if self.validity.unset == 0 { Vec::new() } else { self.validity.bits };
        let node = |more: Vec<Vec<u8>>, nodes: &mut Vec<Node>| {
            let buffers = std::iter::once(bitmap.clone()).chain(more).collect();
            nodes.push(Node { length, buffers });
        };
        match self.data {
            Data::Boolean(bits) => node(vec![bits.bits], nodes),
            Data::Fixed(bytes) => node(vec![bytes], nodes),
            Data::Bytes(ends, bytes) => node(vec![offsets(&ends), bytes], nodes),
            Data::List(ends, items) => {
                node(vec![offsets(&ends)], nodes);
                items.finish(fields, nodes);
            }
            Data::Array(_, items) => {
                node(Vec::new(), nodes);
                items.finish(fields, nodes);
            }
            Data::Struct(members) => {
                node(Vec::new(), nodes);
                members.finish_into(fields, nodes);
            }
            Data::Map(ends, keys, values) => {
                node(vec![offsets(&ends)], nodes);
                let (name, format) = ("entries".to_owned(), "+s".to_owned());
                fields.push(Field { name, format, nullable: false, children: 2, metadata: Vec::new() });
                nodes.push(Node { length: keys.len() as u32, buffers: vec![Vec::new()] });
                keys.finish(fields, nodes);
                fields[place + 1].nullable = false;
                values.finish(fields, nodes);
            }
        }
    }
}

fn end(length: usize) -> i32 {
    // A batch is far smaller than what 32-bit offsets can address; the host refuses a larger one.
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn offsets(ends: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((ends.len() + 1) * 4);
    bytes.extend_from_slice(&0_i32.to_le_bytes());
    ends.iter().for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
    bytes
}

/// A description of a value.
fn what(raw: &str) -> &'static str {
    match raw.bytes().next() {
        Some(b'"') => "a text",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') | None => "null",
        _ => "a number",
    }
}
