//! Misbehaves in the way its config names, so that tests can check that the host withstands it.

mod batches;

use std::io::Write;

use serde::Deserialize;

use exports::osiris::driver::transform::{Error, Guest, Input, Output};
use osiris::driver::context;
use osiris::driver::errors::ErrorKind;

wit_bindgen::generate!({ path: "../../../wit", world: "processor" });

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    how: How,
    /// How many rows `slow` produces.
    #[serde(default = "ten_million")]
    rows: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    Trap,
    Error,
    Loop,
    HalfTable,
    Memory,
    LieRows,
    BadUtf8,
    BadOffsets,
    ShortBuffer,
    Panic,
    Exit,
    ClaimMemory,
    Slow,
    TwinColumns,
    TwinTables,
    NamelessColumn,
    HalfFloat,
    Print,
    PrintAndSleep,
}

fn ten_million() -> u64 {
    10_000_000
}

struct Misbehave;

impl Guest for Misbehave {
    fn run(_inputs: Vec<Input>, output: Output) -> Result<(), Error> {
        let config: Config = serde_json::from_str(&context::config())
            .map_err(|why| error(ErrorKind::Config, format!("cannot read the config: {why}")))?;
        match config.how {
            How::Trap => trap(),
            How::Error => Err(error(ErrorKind::Data, "cannot do as asked, as the config asked".to_owned())),
            How::Loop => spin(),
            How::HalfTable => half_table(&output),
            How::Memory => Err(take_memory()),
            How::LieRows => append_one(&output, &batches::numbers_schema(), &batches::lying_rows()),
            How::BadUtf8 => append_one(&output, &batches::text_schema(), &batches::bad_utf8()),
            How::BadOffsets => append_one(&output, &batches::text_schema(), &batches::bad_offsets()),
            How::ShortBuffer => append_one(&output, &batches::numbers_schema(), &batches::short_buffer()),
            How::Panic => panic!("the driver panics, as its config asked"),
            How::Exit => std::process::exit(0),
            How::ClaimMemory => Err(Error {
                code: Some("memory".to_owned()),
                ..error(ErrorKind::Limit, "DuckDB has no memory left".to_owned())
            }),
            How::Slow => slow(&output, config.rows),
            How::TwinColumns => create(&output, &batches::columns(&["a", "A"], "l")),
            How::TwinTables => {
                create(&output, &batches::numbers_schema())?;
                create(&output, &batches::numbers_schema())
            }
            How::NamelessColumn => create(&output, &batches::columns(&[""], "l")),
            How::HalfFloat => create(&output, &batches::columns(&["h"], "e")),
            How::Print => print(),
            How::PrintAndSleep => {
                println!("printed before the sleep");
                std::thread::sleep(std::time::Duration::from_secs(600));
                Ok(())
            }
        }
    }
}

fn error(kind: ErrorKind, message: String) -> Error {
    Error { kind, code: None, message, retry_after_ms: None }
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    std::process::abort()
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Reports success although its table was never finished.
fn half_table(output: &Output) -> Result<(), Error> {
    let writer = output.create_table("main", &batches::numbers_schema())?;
    writer.append(&batches::numbers(0..1_000, 0))?;
    drop(writer);
    Ok(())
}

/// Allocates and touches memory until no more is available.
fn take_memory() -> Error {
    const PIECE: usize = 1 << 20;
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut piece = Vec::new();
        if held.try_reserve(1).is_err() || piece.try_reserve_exact(PIECE).is_err() {
            let pieces = held.len();
            drop(held);
            return error(ErrorKind::Internal, format!("cannot take more memory than {pieces} MiB"));
        }
        piece.resize(PIECE, 0xa5);
        held.push(std::hint::black_box(piece));
    }
}

/// Creates an empty table.
fn create(output: &Output, schema: &batches::Schema) -> Result<(), Error> {
    output.create_table("main", schema)?.finish()?;
    Ok(())
}

/// Appends one batch; if the host refuses it, that refusal becomes the driver's own error.
fn append_one(output: &Output, schema: &batches::Schema, batch: &batches::Batch) -> Result<(), Error> {
    let writer = output.create_table("main", schema)?;
    writer.append(batch)?;
    writer.finish()?;
    Ok(())
}

/// Prints more than a screen to both streams, with bytes that are not text and a line without end, and then panics.
fn print() -> ! {
    for number in 0..1_500 {
        println!("line {number}");
    }
    let mut stderr = std::io::stderr();
    let _ = stderr.write_all(b"not text: \xff\xfe.\r\n");
    let _ = stderr.write_all(&[b'x'; 100_000]);
    let _ = stderr.write_all(b"\n");
    panic!("the driver panics, as its config asked")
}

/// Produces rows one small batch at a time, so that a kill can hit in between.
fn slow(output: &Output, rows: u64) -> Result<(), Error> {
    const BATCH: u64 = 1_000;
    const ROUNDS_A_VALUE: u32 = 500;
    let writer = output.create_table("main", &batches::numbers_schema())?;
    let mut done = 0;
    while done < rows {
        let end = rows.min(done + BATCH);
        writer.append(&batches::numbers(done..end, ROUNDS_A_VALUE))?;
        done = end;
        context::progress(done, Some(rows));
    }
    writer.finish()?;
    Ok(())
}

#[expect(unsafe_code, reason = "what `export!` declares: the functions that the host calls")]
mod exported {
    use super::Misbehave;

    super::export!(Misbehave with_types_in super);
}
