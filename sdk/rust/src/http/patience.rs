//! The options by which a step says how long it waits and how often it tries again, named alike in all drivers.

use std::time::Duration;

use serde::Deserialize;

use super::{Client, Retry};

/// A step's options; `#[serde(flatten)]` puts them into its config. Their defaults are the schema's.
#[derive(Debug, Clone, Deserialize)]
pub struct Patience {
    /// Seconds that the server may keep silent.
    timeout: f64,
    connect_timeout: f64,
    max_retries: u32,
    /// Seconds before the second try.
    retry_delay: f64,
    /// The longest wait in seconds that a server may ask for.
    max_retry_wait: f64,
    /// How large an answer may be, decompressed, in MiB.
    max_page_mb: u64,
}

impl Patience {
    /// A client with these settings, whose requests say that `user_agent` asks.
    pub fn client(&self, user_agent: &str) -> Client {
        Client::new()
            .header("user-agent", user_agent)
            .timeout(seconds(self.timeout))
            .connect_timeout(seconds(self.connect_timeout))
            .max_bytes(self.max_page_mb << 20)
            .retry(self.retry())
    }

    /// When and how often a request is tried again.
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
