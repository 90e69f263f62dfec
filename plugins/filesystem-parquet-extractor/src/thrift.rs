//! The part of Thrift's compact protocol that a Parquet footer uses: values as a tree that can be changed and written
//! back (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

/// A value. Integers keep the width of their tag in the protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Byte(u8),
    Integer(Width, i64),
    Double([u8; 8]),
    Binary(Vec<u8>),
    List(u8, Vec<Value>),
    Map(u8, u8, Vec<(Value, Value)>),
    Struct(Vec<(i16, Value)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Two = 4,
    Four = 5,
    Eight = 6,
}

/// Bytes that are not a struct of the compact protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

type Parsed<T> = Result<T, Malformed>;

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// How deep values may be nested.
const MOST_LEVELS: u32 = 32;

impl Value {
    /// The struct that fills `bytes`.
    pub fn read(bytes: &[u8]) -> Parsed<Self> {
        let mut reader = Reader { rest: bytes };
        reader.structure(0)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(self, &mut bytes);
        bytes
    }

    /// A field of a struct.
    pub fn field(&mut self, id: i16) -> Option<&mut Value> {
        match self {
            Value::Struct(fields) => fields.iter_mut().find(|(found, _)| *found == id).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn items(&mut self) -> &mut [Value] {
        match self {
            Value::List(_, items) => items,
            _ => &mut [],
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(_, value) => Some(*value),
            _ => None,
        }
    }

    /// Sets a field of a struct, replacing the previous one.
    pub fn set(&mut self, id: i16, value: Value) {
        self.remove(id);
        if let Value::Struct(fields) = self {
            let place = fields.iter().position(|(found, _)| *found > id).unwrap_or(fields.len());
            fields.insert(place, (id, value));
        }
    }

    pub fn remove(&mut self, id: i16) {
        if let Value::Struct(fields) = self {
            fields.retain(|(found, _)| *found != id);
        }
    }

    fn tag(&self) -> u8 {
        match self {
            Value::Bool(true) => TRUE,
            Value::Bool(false) => FALSE,
            Value::Byte(_) => BYTE,
            Value::Integer(width, _) => *width as u8,
            Value::Double(_) => DOUBLE,
            Value::Binary(_) => BINARY,
            Value::List(..) => LIST,
            Value::Map(..) => MAP,
            Value::Struct(_) => STRUCT,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Parsed<u8> {
        Ok(self.take(1)?[0])
    }

    fn varint(&mut self) -> Parsed<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn zigzag(&mut self) -> Parsed<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// How many items follow: at most the number of remaining bytes, so that no memory is reserved for a false count.
    fn count(&mut self) -> Parsed<usize> {
        usize::try_from(self.varint()?).ok().filter(|&count| count <= self.rest.len()).ok_or(Malformed)
    }

    fn structure(&mut self, level: u32) -> Parsed<Value> {
        if level > MOST_LEVELS {
            return Err(Malformed);
        }
        let (mut fields, mut id) = (Vec::new(), 0_i16);
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(Value::Struct(fields));
            }
            id = match header >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| Malformed)?,
                delta => id.checked_add(i16::from(delta)).ok_or(Malformed)?,
            };
            let value = match header & 0x0f {
                TRUE => Value::Bool(true),
                FALSE => Value::Bool(false),
                tag => self.value(tag, level)?,
            };
            fields.push((id, value));
        }
    }

    fn value(&mut self, tag: u8, level: u32) -> Parsed<Value> {
        Ok(match tag {
            TRUE | FALSE => Value::Bool(self.byte()? == TRUE),
            BYTE => Value::Byte(self.byte()?),
            4 => Value::Integer(Width::Two, self.zigzag()?),
            5 => Value::Integer(Width::Four, self.zigzag()?),
            6 => Value::Integer(Width::Eight, self.zigzag()?),
            DOUBLE => Value::Double(self.take(8)?.try_into().map_err(|_| Malformed)?),
            BINARY => {
                let length = self.count()?;
                Value::Binary(self.take(length)?.to_vec())
            }
            LIST | SET => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.count()? } else { usize::from(header >> 4) };
                let tag = header & 0x0f;
                let items = (0..count).map(|_| self.value(tag, level + 1)).collect::<Parsed<_>>()?;
                Value::List(tag, items)
            }
            MAP => {
                let count = self.count()?;
                let tags = if count == 0 { 0 } else { self.byte()? };
                let (key, value) = (tags >> 4, tags & 0x0f);
                let entry = |_| Ok((self.value(key, level + 1)?, self.value(value, level + 1)?));
                Value::Map(key, value, (0..count).map(entry).collect::<Parsed<_>>()?)
            }
            STRUCT => self.structure(level + 1)?,
            _ => return Err(Malformed),
        })
    }
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_zigzag(value: i64, out: &mut Vec<u8>) {
    write_varint(((value << 1) ^ (value >> 63)) as u64, out);
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Value::Byte(byte) => out.push(*byte),
        Value::Integer(_, value) => write_zigzag(*value, out),
        Value::Double(bytes) => out.extend_from_slice(bytes),
        Value::Binary(bytes) => {
            write_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Value::List(tag, items) => {
            if items.len() < 15 {
                out.push((items.len() as u8) << 4 | tag);
            } else {
                out.push(0xf0 | tag);
                write_varint(items.len() as u64, out);
            }
            items.iter().for_each(|item| write(item, out));
        }
        Value::Map(key, value, entries) => {
            write_varint(entries.len() as u64, out);
            if !entries.is_empty() {
                out.push(key << 4 | value);
            }
            for (key, value) in entries {
                write(key, out);
                write(value, out);
            }
        }
        Value::Struct(fields) => {
            let mut before = 0_i16;
            for (id, value) in fields {
                match id.checked_sub(before) {
                    Some(delta @ 1..=15) => out.push((delta as u8) << 4 | value.tag()),
                    _ => {
                        out.push(value.tag());
                        write_zigzag(i64::from(*id), out);
                    }
                }
                before = *id;
                if !matches!(value, Value::Bool(_)) {
                    write(value, out);
                }
            }
            out.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tree() -> Value {
        let long = Value::List(BINARY, (0..20).map(|n| Value::Binary(vec![n; 200])).collect());
        Value::Struct(vec![
            (1, Value::Integer(Width::Four, -1)),
            (2, Value::Bool(true)),
            (3, Value::Bool(false)),
            (40, Value::Integer(Width::Eight, i64::MIN)),
            (41, Value::Integer(Width::Two, 300)),
            (42, long),
            (43, Value::Double([1, 2, 3, 4, 5, 6, 7, 8])),
            (44, Value::Byte(200)),
            (45, Value::Map(BINARY, 5, vec![(Value::Binary(vec![1]), Value::Integer(Width::Four, 7))])),
            (46, Value::Struct(vec![(1, Value::List(1, vec![Value::Bool(true), Value::Bool(false)]))])),
        ])
    }

    #[test]
    fn a_tree_is_unchanged_after_writing_and_reading() {
        let bytes = tree().to_bytes();
        assert_eq!(Value::read(&bytes).unwrap(), tree());
    }

    #[test]
    fn truncated_or_lying_bytes_are_refused() {
        let bytes = tree().to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(Value::read(&bytes[..end]), Err(Malformed), "{end}");
        }
        // A list of four billion, and endless structs.
        assert_eq!(Value::read(&[0x19, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Malformed));
        assert_eq!(Value::read(&[0x1c; 1000]), Err(Malformed));
    }

    #[test]
    fn fields_are_replaced_in_place() {
        let mut tree = tree();
        tree.set(2, Value::Bool(false));
        tree.set(5, Value::Byte(1));
        tree.remove(1);
        let bytes = tree.to_bytes();
        let mut back = Value::read(&bytes).unwrap();
        assert_eq!(back.field(1), None);
        assert_eq!(back.field(2).cloned(), Some(Value::Bool(false)));
        assert_eq!(back.field(5).cloned(), Some(Value::Byte(1)));
    }
}
