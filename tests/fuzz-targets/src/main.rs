//! Runs one fuzz target on files: `fuzz-targets columns FILE…`, to examine what a fuzzer found.

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((_, target)) = fuzz_targets::TARGETS.into_iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = fuzz_targets::TARGETS.into_iter().map(|(known, _)| known).collect();
        return Err(std::io::Error::other(format!("no target is called `{name}`; known: {}", known.join(", "))));
    };
    for file in arguments {
        eprintln!("{file}");
        target(&std::fs::read(file)?);
    }
    Ok(())
}
