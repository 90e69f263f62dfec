//! What the driver does, natively: `native columns FOLDER` from Arrow's buffers, `native records IN OUT` from JSON lines.
//! Prints milliseconds.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Result, Write};
use std::time::Instant;

use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Row {
    a: i64,
    b: i64,
    s: String,
    #[serde(default)]
    c: i64,
}

fn read<T: bytemuck::Pod>(folder: &str, name: &str) -> Result<Vec<T>> {
    Ok(bytemuck::allocation::pod_collect_to_vec(&fs::read(format!("{folder}/{name}"))?))
}

fn columns(folder: &str) -> Result<()> {
    let (a, b): (Vec<i64>, Vec<i64>) = (read(folder, "a.bin")?, read(folder, "b.bin")?);
    let (offsets, text): (Vec<i32>, Vec<u8>) = (read(folder, "o.bin")?, read(folder, "s.bin")?);
    let lengths = offsets.windows(2).map(|pair| {
        let text = text.get(pair[0] as usize..pair[1] as usize).unwrap_or_default();
        std::str::from_utf8(text).map_or(0, str::len) as i64
    });
    let sums: Vec<i64> = a.iter().zip(&b).zip(lengths).map(|((a, b), length)| a + b + length).collect();
    fs::write(format!("{folder}/c.bin"), bytemuck::cast_slice(&sums))
}

fn records(source: &str, target: &str) -> Result<()> {
    let mut out = BufWriter::new(File::create(target)?);
    for line in BufReader::new(File::open(source)?).lines() {
        let mut row: Row = serde_json::from_str(&line?)?;
        row.c = row.a + row.b + row.s.len() as i64;
        serde_json::to_writer(&mut out, &row)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let begun = Instant::now();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["columns", folder] => columns(folder)?,
        ["records", source, target] => records(source, target)?,
        _ => eprintln!("write: native columns FOLDER, or native records IN OUT"),
    }
    println!("{:.1}", begun.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}
