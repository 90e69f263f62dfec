//! The ways to mask a value.

use hmac::{Hmac, KeyInit, Mac};
use osiris_sdk::{Error, Result};
use serde::Deserialize;
use sha2::Sha256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    Hash,
    Redact,
    Partial,
    Drop,
}

/// A column's entry in the config: a method, alone or with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Wish {
    pub method: Name,
    pub keep: usize,
    pub replacement: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Alone(Name),
    Full { method: Name, keep: Option<usize>, replacement: Option<String> },
}

/// How many characters `partial` keeps.
const KEEP: usize = 4;

impl From<Written> for Wish {
    fn from(written: Written) -> Self {
        let (method, keep, replacement) = match written {
            Written::Alone(method) => (method, None, None),
            Written::Full { method, keep, replacement } => (method, keep, replacement),
        };
        Wish { method, keep: keep.unwrap_or(KEEP), replacement: replacement.unwrap_or_else(|| "***".to_owned()) }
    }
}

/// A method, ready to be applied.
pub enum Method {
    Hash(Box<Hmac<Sha256>>),
    Redact(String),
    Partial(usize),
}

impl Wish {
    /// # Errors
    /// `config` for a hash without a key.
    pub fn method(&self, key: Option<&str>) -> Result<Method> {
        match self.method {
            Name::Hash => {
                let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
                    Error::config("`hash` needs a secret `key`; without one anyone could hash guesses and compare")
                })?;
                let hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
                    .map_err(|error| Error::internal(error.to_string()))?;
                Ok(Method::Hash(Box::new(hmac)))
            }
            // A dropped column is never read.
            Name::Redact | Name::Drop => Ok(Method::Redact(self.replacement.clone())),
            Name::Partial => Ok(Method::Partial(self.keep)),
        }
    }
}

impl Method {
    pub fn apply(&self, text: &str) -> String {
        match self {
            Method::Hash(keyed) => {
                let mut hmac = keyed.clone();
                hmac.update(text.as_bytes());
                hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
            }
            Method::Redact(replacement) => replacement.clone(),
            Method::Partial(keep) => {
                // A value with no more characters than are kept would be shown completely, so none of it is.
                let count = text.chars().count();
                let hidden = if count > *keep { count - keep } else { count };
                text.chars().enumerate().map(|(place, c)| if place < hidden { '*' } else { c }).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wish(method: Name, keep: usize) -> Wish {
        Wish { method, keep, replacement: "***".into() }
    }

    #[test]
    fn hash_is_hmac_sha_256_of_the_text() {
        // Test case 2 of RFC 4231.
        let method = wish(Name::Hash, 0).method(Some("Jefe")).unwrap();
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(method.apply("what do ya want for nothing?"), expected);
    }

    #[test]
    fn a_hash_without_a_key_is_refused() {
        for key in [None, Some("")] {
            assert!(wish(Name::Hash, 0).method(key).is_err());
        }
    }

    #[test]
    fn partial_keeps_the_last_characters_not_bytes() {
        let method = wish(Name::Partial, 2).method(None).unwrap();
        for (text, masked) in
            [("N14228", "****28"), ("übergrößé", "*******ßé"), ("abc", "*bc"), ("ab", "**"), ("a", "*"), ("", "")]
        {
            assert_eq!(method.apply(text), masked);
        }
    }

    #[test]
    fn redact_also_hides_the_length() {
        assert_eq!(wish(Name::Redact, 0).method(None).unwrap().apply("secret"), "***");
    }
}
