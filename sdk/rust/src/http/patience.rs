//! The options of a step for waiting and retrying, which have the same names in all drivers.

use std::time::Duration;

use serde::Deserialize;

use super::{Client, Retry};

/// A step's options; `#[serde(flatten)]` adds them to its config. Their defaults are the schema's.
#[derive(Debug, Clone, Deserialize)]
pub struct Patience {
    /// How many seconds the server may be silent.
    timeout: f64,
    connect_timeout: f64,
    max_retries: u32,
    /// How many seconds to wait before the first retry.
    retry_delay: f64,
    /// The longest wait in seconds that a server may ask for.
    max_retry_wait: f64,
    /// The largest response, decompressed, in MiB.
    max_page_mb: u64,
}

impl Patience {
    /// A client with these settings, whose requests send `user_agent`.
    pub fn client(&self, user_agent: &str) -> Client {
        Client::new()
            .header("user-agent", user_agent)
            .timeout(seconds(self.timeout))
            .connect_timeout(seconds(self.connect_timeout))
            .max_bytes(self.max_page_mb << 20)
            .retry(self.retry())
    }

    /// When and how often a request is retried.
    pub fn retry(&self) -> Retry {
        Retry {
            retries: self.max_retries,
            base: seconds(self.retry_delay),
            max_wait: seconds(self.max_retry_wait),
            ..Retry::default()
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(30))
}
