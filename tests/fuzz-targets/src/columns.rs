//! What a guest writes, as malformed as possible: a schema with a batch, or JSON records; checked and then passed to DuckDB.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use osiris::columns::{Field, InNode};
use osiris::engine::{Engine, Furnishing, TemporaryFolder, Warm};
use osiris::grants::limits::Limits;

const FORMATS: [&str; 40] = [
    "n", "b", "c", "C", "s", "S", "i", "I", "l", "L", "e", "f", "g", "z", "Z", "u", "U", "tdD", "tdm", "tts", "ttm",
    "ttu", "ttn", "tDu", "tiM", "tiD", "tin", "tsu:", "tsu:UTC", "tsn:", "d:4,2", "d:38,0", "w:16", "+l", "+L", "+m",
    "+s", "+w:2", "+us:0,1", "tss:",
];

const EXTENSIONS: [&str; 8] =
    ["arrow.bool8", "arrow.uuid", "arrow.json", "arrow.opaque", "geoarrow.wkb", "duckdb.bit", "duckdb.hugeint", "x"];

/// Reads values from the front of the bytes; zeros once they are used up.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Usually a small number, and occasionally an absurd one.
    fn number(&mut self) -> u32 {
        match self.byte() {
            small @ 0..=250 => u32::from(small),
            251 => u32::MAX,
            252 => i32::MAX as u32,
            253 => u32::MAX - 1,
            254 => 1 << 31,
            255 => u32::from(self.byte()) << 24,
        }
    }
}

fn field(bytes: &mut Bytes<'_>) -> Field {
    let format = match bytes.byte() {
        known @ 0..=0xf0 => FORMATS[usize::from(known) % FORMATS.len()].to_owned(),
        _ => String::from_utf8_lossy(bytes.take(6)).into_owned(),
    };
    let children = match format.as_bytes() {
        [b'+', b's' | b'u', ..] => u32::from(bytes.byte() % 4),
        [b'+', ..] => 1,
        _ => u32::from(bytes.byte() == 0xff),
    };
    let metadata = match bytes.byte() {
        extension @ 0..=0x1f => {
            let name = EXTENSIONS[usize::from(extension) % EXTENSIONS.len()];
            let details = format!(
                "{{\"type_name\":\"{}\",\"vendor_name\":\"DuckDB\"}}",
                ["bit", "hugeint", "time_tz", "uhugeint"][usize::from(extension) / 8]
            );
            vec![("ARROW:extension:name".to_owned(), name.to_owned()), ("ARROW:extension:metadata".to_owned(), details)]
        }
        0x20 => vec![("osiris.duckdb_type".to_owned(), "INTEGER".to_owned())],
        _ => Vec::new(),
    };
    Field { name: format!("c{}", bytes.byte() % 8), format, nullable: bytes.byte() < 0xf0, children, metadata }
}

thread_local! {
    // Not closed when the thread ends: DuckDB's data for the thread may already be gone by then.
    static ENGINE: RefCell<Option<ManuallyDrop<Opened>>> = const { RefCell::new(None) };
}

type Opened = (tempfile::TempDir, Engine, u32);

/// A database that is reused for some thousand inputs.
fn with_engine(visit: impl FnOnce(&Engine, u32)) {
    ENGINE.with(|engine| {
        let mut slot = engine.borrow_mut();
        if slot.as_ref().is_none_or(|opened| opened.2 > 2_000) {
            drop(slot.take().map(ManuallyDrop::into_inner));
            *slot = open().map(ManuallyDrop::new);
        }
        if let Some((_, engine, used)) = slot.as_mut().map(|opened| &mut **opened) {
            *used += 1;
            visit(engine, *used);
        }
    });
}

fn open() -> Option<Opened> {
    let folder = tempfile::tempdir().ok()?;
    let output = folder.path().join("out.duckdb");
    let spill = folder.path().join("spill");
    let temporary = TemporaryFolder::create(&folder.path().join("temporary"), 1 << 20).ok()?;
    let furnishing =
        Furnishing { output: Some(&output), temporary: Some(temporary), ..Furnishing::bare(&spill, Limits::DEFAULT) };
    let engine = Warm::open().ok()?.furnish(&furnishing, || Ok(())).ok()?;
    Some((folder, engine, 0))
}

pub fn columns(data: &[u8]) {
    let mut bytes = Bytes(data);
    let fields: Vec<Field> = (0..bytes.byte() % 6).map(|_| field(&mut bytes)).collect();
    let rows = bytes.number();
    let nodes: Vec<InNode<'_>> = (0..fields.len() + usize::from(bytes.byte() == 0xff))
        .map(|_| {
            let length = if bytes.byte() < 0xe0 { rows } else { bytes.number() };
            let buffers = (0..bytes.byte() % 4)
                .map(|_| {
                    let size = usize::from(bytes.byte());
                    bytes.take(size)
                })
                .collect();
            InNode { length, buffers }
        })
        .collect();
    with_engine(|engine, number| {
        let Ok(mut writer) = engine.create_table(&format!("t{number}"), &fields, false) else { return };
        let Ok(batch) = writer.check(rows, &nodes) else { return };
        if writer.append(&batch).is_ok() && writer.finish().is_ok() {
            // Accepted data can be read back.
            let _ = engine.read_back(&format!("t{number}"));
        }
    });
}

/// The types that a member may be declared as, and one that does not exist.
const DECLARED: [&str; 12] = [
    "BIGINT",
    "DECIMAL(18,3)",
    "DOUBLE",
    "VARCHAR",
    "JSON",
    "BLOB",
    "UUID",
    "DATE",
    "TIMESTAMPTZ",
    "INTERVAL[]",
    "STRUCT(a TINYINT, b BIT)",
    "X",
];

pub fn records(data: &[u8]) {
    let mut bytes = Bytes(data);
    let declared = bytes.byte();
    let declared: Vec<(String, String)> = match DECLARED.get(usize::from(declared)) {
        Some(kind) => vec![("a".to_owned(), (*kind).to_owned())],
        None => Vec::new(),
    };
    let split = usize::from(bytes.byte());
    let (first, second) = (String::from_utf8_lossy(bytes.take(split)), String::from_utf8_lossy(bytes.0));
    with_engine(|engine, number| {
        let name = format!("t{number}");
        let Ok(mut table) = engine.create_json_table(&name, &declared) else { return };
        let accepted = table.append(&first).and_then(|_| table.append(&second)).is_ok();
        if engine.finish_json_table(table).is_ok() {
            assert!(accepted, "a table is lost with its first malformed record");
            // Accepted data can be read back.
            let _ = engine.read_back(&name);
        }
    });
}
