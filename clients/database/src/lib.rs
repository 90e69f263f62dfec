//! What database drivers share regardless of protocol: options, the underlying stream, encryption.

mod authored;
mod connection;
mod encryption;
mod lookback;
mod reading;
mod stream;
mod table_name;
mod writing;

pub use authored::Authored;
pub use connection::{Config, ConnectionOptions, Login, Session, System};
pub use encryption::{Reveal, SslMode};
pub use lookback::Lookback;
pub use reading::{Initial, NullCursor, Replication, Selection};
pub use stream::{Stream, broken};
pub use table_name::TableName;
pub use writing::{Contract, DuplicateKey, Mode, ReplaceBy, Superseded, WriterConfig, Writing};
