//! A driver that misuses the network it was granted. One attack a file; its head says what stops it.

mod prelude;

use osiris_sdk::{Array, Error, Extractor, Output, Result};
use prelude::Step;

macro_rules! attacks {
    ($($name:ident)*) => {
        $(mod $name;)*

        fn attack(step: &Step) -> Option<prelude::Outcome> {
            match step.attack.as_str() {
                $(stringify!($name) => Some($name::run(step)),)*
                _ => None,
            }
        }
    };
}

attacks! {
    connect_elsewhere
    connect_granted
    endless_connections
    endless_wait
    http_authority_user
    http_connections
    http_elsewhere
    http_granted
    http_head_injection
    http_header_host
    http_header_transfer
    http_method
    http_path_dots
    http_path_injection
    http_redirect
    http_traffic
    http_traffic_by_tcp
    foreign_secret
    proxy_variables
    raw_socket
    slow_names
    state_bomb
    state_nonsense
    state_secret
    traffic_bomb
    write_to_deaf
}

struct Attacker;

impl Extractor for Attacker {
    type Config = Step;

    fn extract(step: Step, output: Output) -> Result<()> {
        let outcome = attack(&step).ok_or_else(|| Error::config(format!("no attack is called `{}`", step.attack)))?;
        let breached = outcome?;
        output.write_columns("main", vec![("breached", Array::from(vec![breached]))])?;
        Ok(())
    }
}

osiris_sdk::export!(Attacker: extractor);
