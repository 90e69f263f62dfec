fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("step") => osiris::step::main(),
        Some("compile") => {
            let e = osiris::runtime::engine().unwrap();
            println!("{}", osiris::runtime::compiled(&e, std::path::Path::new(&std::env::args().nth(2).unwrap()), &std::env::args().nth(3).unwrap(), || ()).unwrap().display());
            std::process::ExitCode::SUCCESS
        }
        _ => std::process::ExitCode::FAILURE,
    }
}
