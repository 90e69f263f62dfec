//! Osiris's own files in a base folder. No step may touch them, even if the pipeline names them.

use std::path::Path;

use crate::pipeline::{connections, dotenv, project};

/// The folder of sessions.
pub const SESSIONS: &str = ".osiris_sessions";

/// The folder of everything that outlives sessions, such as states.
pub const OWN: &str = ".osiris";

/// The folder of states, inside [`OWN`].
pub const STATES: &str = ".osiris/state";

/// The file that pins drivers.
pub const LOCK: &str = "osiris.lock";

/// The folder of the drivers that come with the pipelines.
pub const DRIVERS: &str = "drivers";

/// The files that have secrets, or lead to them.
const SECRET_FILES: [&str; 3] = [connections::FILE, project::FILE, dotenv::FILE];

/// The names of everything that must not be read, or not be written.
pub fn all(writing: bool) -> impl Iterator<Item = &'static str> {
    let written = [LOCK, DRIVERS].into_iter().filter(move |_| writing);
    [SESSIONS, OWN].into_iter().chain(SECRET_FILES).chain(written)
}

/// Whether `place`, relative to the base folder, must not be read.
pub fn from_reading(place: &Path) -> bool {
    place.components().any(|part| part.as_os_str() == SESSIONS || part.as_os_str() == OWN)
        || place.file_name().is_some_and(|name| SECRET_FILES.iter().any(|file| name == *file))
}

/// Whether `place`, relative to the base folder, must not be written.
pub fn from_writing(place: &Path) -> bool {
    from_reading(place) || place.file_name().is_some_and(|name| name == LOCK) || place.starts_with(DRIVERS)
}
