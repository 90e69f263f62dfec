//! What a step writes, and to which table.

use osiris_sdk::Input;
use postgrest::Api;

use crate::Config;
use crate::keys::Key;
use crate::rows::Column;

/// Everything that is needed to write rows.
pub struct Step<'a> {
    pub config: &'a Config,
    pub api: &'a Api,
    pub input: &'a Input,
    pub columns: &'a [Column],
    pub key: &'a [Key],
}
