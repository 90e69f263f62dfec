//! `osiris worker`: runs steps for a host on another machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::driver::runtime;
use crate::error::Report;
use crate::exchange::Location;
use crate::executor::disk::Disk;
use crate::sandbox;
use crate::size;
use crate::worker::{self, Offer};

use super::sandbox::SandboxArguments;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A host starts it: `osiris run pipeline.yaml --on 'ssh build1 osiris worker'`. It needs a shell's rights on this machine and\n\
                  gives steps none: they are confined as they are locally. docs/worker-protocol.md describes what it speaks.\n\n\
                  Example:\n  osiris worker --slots 4 --dir /var/tmp/osiris"
)]
pub struct Arguments {
    /// Run up to N steps at once [default: the number of CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    slots: Option<u16>,
    /// Keep drivers, inputs and outputs in a folder of its own in DIR, which is removed at the end [default: beside the folder
    /// of compiled drivers]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep no more than SIZE of drivers, inputs and outputs [default: half of the free space]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    room: Option<u64>,
    /// The folder of exchanges that the host's machine also has, as `file:///FOLDER`; a host names none [object stores need no
    /// option]
    #[arg(long, value_name = "URL")]
    exchange: Option<String>,
    #[command(flatten)]
    sandbox: SandboxArguments,
}

pub fn worker(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.sandbox.enforce()?;
    let (folder, room) = room_for_blobs(arguments.dir.as_deref())?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let missing = sandbox::protections().into_iter().filter(|protection| protection.demanded && !protection.given);
    let offer = Offer {
        slots: arguments.slots.map_or(u32::try_from(cpus).unwrap_or(u32::MAX), u32::from),
        memory_bytes: memory(),
        missing: missing.map(|protection| protection.name.to_owned()).collect(),
        folder,
        room: arguments.room.unwrap_or(room),
        shared: arguments.exchange.as_deref().map(shared_folder).transpose()?,
    };
    worker::serve(std::io::stdin(), std::io::stdout(), offer)?;
    Ok(ExitCode::SUCCESS)
}

/// The folder that `url` names.
fn shared_folder(url: &str) -> Result<PathBuf, Report> {
    match url.parse()? {
        Location::Folder(folder) => Ok(folder),
        Location::S3 { .. } => {
            Err(Report::input(format!("a worker is not told of `{url}`: its host says how an object store is reached"))
                .hint("leave `--exchange` out; it is for a folder that both machines have"))
        }
    }
}

/// The folder for what a host sends, which is created, and how many bytes of it may be stored.
pub fn room_for_blobs(dir: Option<&Path>) -> anyhow::Result<(PathBuf, u64)> {
    let folder = match dir {
        Some(folder) => folder.to_owned(),
        None => runtime::cache_folder()?.with_file_name("workers"),
    };
    std::fs::create_dir_all(&folder)?;
    let free = Disk::of(&Dir::open_ambient_dir(&folder, ambient_authority())?).map_or(u64::MAX, |disk| disk.free);
    Ok((folder, free / 2))
}

/// The memory of this machine in bytes.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}
