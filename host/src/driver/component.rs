//! What is visible of a component without compiling it. The component is read as a stream, and irrelevant sections are
//! skipped.

use std::io::{self, Read};

use wasmparser::{BinaryReader, Parser};

use crate::driver::spec;

/// The number of imports or exports that a component may have; real ones have about thirty.
const MAX_NAMES: usize = 1000;

/// The longest name of an import or export, in bytes.
const MAX_NAME: usize = 256;

/// The largest section of imports or exports that is read, in bytes.
const MAX_SECTION: u64 = 4 << 20;

/// Bytes before a component's first section.
pub const HEADER: usize = 8;

/// Section ids of the component model's binary format.
pub const CUSTOM: u8 = 0;
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;

/// A component's spec and names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// The spec's bytes, if the component has one.
    pub spec: Option<Vec<u8>>,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// Whether a file with this head is a component.
pub fn is_component(head: &[u8]) -> bool {
    Parser::is_component(head)
}

/// Whether a file with this head is a core module, which becomes a component by being wrapped.
pub fn is_core_module(head: &[u8]) -> bool {
    Parser::is_core_wasm(head)
}

/// Reads the top level of a component to its end.
///
/// # Errors
/// The reason why it is refused.
pub fn surface(component: &mut impl Read) -> Result<Surface, String> {
    let damaged = |_| "it is no WebAssembly component".to_owned();
    let mut head = [0; HEADER];
    component.read_exact(&mut head).map_err(damaged)?;
    if !is_component(&head) {
        return Err("it is no WebAssembly component".to_owned());
    }
    let mut surface = Surface::default();
    while let Some(id) = byte(component).map_err(damaged)? {
        let size = size(component).map_err(damaged)?;
        let mut body = component.take(size);
        match id {
            CUSTOM => custom(&mut body, &mut surface)?,
            IMPORTS | EXPORTS if size > MAX_SECTION => {
                return Err("its imports or exports take more than 4 MiB".to_owned());
            }
            IMPORTS => names(&mut body, &mut surface.imports, "imports", import_names)?,
            EXPORTS => names(&mut body, &mut surface.exports, "exports", export_names)?,
            _ => {}
        }
        io::copy(&mut body, &mut io::sink()).map_err(damaged)?;
        if body.limit() > 0 {
            return Err("it is no WebAssembly component".to_owned());
        }
    }
    Ok(surface)
}

fn custom(body: &mut io::Take<impl Read>, surface: &mut Surface) -> Result<(), String> {
    let damaged = |_| "it is no WebAssembly component".to_owned();
    let length = size(body).map_err(damaged)?;
    if length != spec::SECTION.len() as u64 {
        return Ok(());
    }
    let mut name = vec![0; spec::SECTION.len()];
    body.read_exact(&mut name).map_err(damaged)?;
    if name != spec::SECTION.as_bytes() {
        return Ok(());
    }
    let mut text = Vec::new();
    // One byte more than allowed, so that a longer spec is recognised as such.
    body.take(spec::MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(damaged)?;
    if surface.spec.replace(text).is_some() {
        return Err("it has several specs".to_owned());
    }
    Ok(())
}

type Names = fn(BinaryReader<'_>) -> wasmparser::Result<Vec<String>>;

fn names(body: &mut io::Take<impl Read>, known: &mut Vec<String>, what: &str, read: Names) -> Result<(), String> {
    let damaged = || "it is no WebAssembly component".to_owned();
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).map_err(|_| damaged())?;
    let found = read(BinaryReader::new(&bytes, 0)).map_err(|_| damaged())?;
    known.extend(found);
    if known.len() > MAX_NAMES || known.iter().any(|name| name.len() > MAX_NAME) {
        return Err(format!("it has more than {MAX_NAMES} {what}, or one whose name is longer than {MAX_NAME} bytes"));
    }
    Ok(())
}

fn import_names(section: BinaryReader<'_>) -> wasmparser::Result<Vec<String>> {
    let imports = wasmparser::ComponentImportSectionReader::new(section)?;
    imports.into_iter().take(MAX_NAMES + 1).map(|import| Ok(import?.name.name.to_owned())).collect()
}

fn export_names(section: BinaryReader<'_>) -> wasmparser::Result<Vec<String>> {
    let exports = wasmparser::ComponentExportSectionReader::new(section)?;
    exports.into_iter().take(MAX_NAMES + 1).map(|export| Ok(export?.name.name.to_owned())).collect()
}

fn byte(from: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((from.read(&mut byte)? == 1).then_some(byte[0]))
}

/// A 32-bit unsigned LEB128 number.
fn size(from: &mut impl Read) -> io::Result<u64> {
    let mut value = 0_u64;
    for place in 0..5 {
        let Some(byte) = byte(from)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return if u32::try_from(value).is_ok() { Ok(value) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HEAD: &[u8] = b"\0asm\x0d\0\x01\0";

    fn custom_section(name: &str, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(1 + name.len() + body.len()).unwrap();
        [&[CUSTOM, length, u8::try_from(name.len()).unwrap()], name.as_bytes(), body].concat()
    }

    fn read(parts: &[&[u8]]) -> Result<Surface, String> {
        surface(&mut [&[HEAD], parts].concat().concat().as_slice())
    }

    #[test]
    fn the_spec_is_found_among_other_sections() {
        let (spec, other) = (custom_section(spec::SECTION, b"name: a"), custom_section("osiris:spex", b"no"));
        assert_eq!(read(&[&other, &spec, &other]).unwrap().spec.as_deref(), Some(&b"name: a"[..]));
        assert_eq!(read(&[&other]).unwrap(), Surface::default());
        assert_eq!(read(&[&spec, &spec]).unwrap_err(), "it has several specs");
    }

    #[test]
    fn a_damaged_component_is_refused() {
        let whole = custom_section(spec::SECTION, b"name: a");
        for part in 1..whole.len() {
            // Each prefix ends inside a number, a name or a body.
            assert!(read(&[&whole[..part]]).is_err(), "{part}");
        }
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x01\0\0\0",
            b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x1f",
            b"\0asm\x0d\0\x01\0\x0a\x01\xff",
        ] {
            assert!(surface(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
