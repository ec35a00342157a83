//! What lets one machine in, once: a secret, and the hash of the CA that it is for.

use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{fmt, str::FromStr};

const PREFIX: &str = "sgdt1-";
/// The length of either part, in bytes.
const LENGTH: usize = 32;

/// SHA-256 of something, by which it is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint([u8; LENGTH]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; LENGTH];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// The fingerprint of the first certificate in a file's text, if there is one.
    pub fn of_pem(text: &str) -> Option<Self> {
        CertificateDer::from_pem_slice(text.as_bytes()).ok().map(|certificate| Self::of(&certificate))
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

/// What only the holder of a token knows.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Secret([u8; LENGTH]);

impl Secret {
    /// Draws a new one.
    pub fn random(rng: &mut (impl rand::Rng + rand::CryptoRng)) -> Self {
        Self(rng.random())
    }

    /// What may be stored of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}

/// Never shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A join token, which is one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// Proves that whoever has it was given it.
    pub secret: Secret,
    /// Of the certificate of the CA that has made the token: nobody else is told the secret.
    pub ca: Fingerprint,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        hexadecimal(&self.secret.0, f)?;
        hexadecimal(&self.ca.0, f)
    }
}

/// Why a word is no token. It is not repeated, for it may be a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is no join token: it takes the whole line that `nameserver token create` has printed")]
pub struct InvalidToken;

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.is_ascii()).ok_or(InvalidToken)?;
        let (secret, ca) = digits.split_at_checked(2 * LENGTH).ok_or(InvalidToken)?;
        Ok(Self { secret: Secret(bytes(secret)?), ca: Fingerprint(bytes(ca)?) })
    }
}

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn bytes(digits: &str) -> Result<[u8; LENGTH], InvalidToken> {
    // A sign would pass for a digit.
    if digits.len() != 2 * LENGTH || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(InvalidToken);
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = str::from_utf8(pair).map_err(|_| InvalidToken)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidToken)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn token(seed: u64) -> Token {
        let secret = Secret::random(&mut StdRng::seed_from_u64(seed));
        Token { secret, ca: Fingerprint::of(b"ca") }
    }

    #[test]
    fn a_token_is_one_word_that_is_read_as_it_was_written() {
        let text = token(1).to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        assert_eq!(text.parse(), Ok(token(1)));
        assert_ne!(text, token(2).to_string());
        assert!(!text.contains(&token(1).secret.fingerprint().to_string()));
        let shown = format!("{:?}", token(1));
        assert!(!shown.contains(&text[6..14]), "{shown}");
    }

    #[test]
    fn a_fingerprint_is_sha_256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Fingerprint::of(b"").to_string(), empty);
    }

    #[test]
    fn what_is_not_exactly_a_token_is_none() {
        let good = token(1).to_string();
        let sign = format!("{}+{}", &good[..6], &good[7..]);
        for bad in
            ["", "sgdt1-", &good[..good.len() - 1], &format!("{good}0"), &good[6..], &sign, "sgdt1-\u{e9}"]
        {
            assert_eq!(bad.parse::<Token>(), Err(InvalidToken), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "sgdt1-.{0,140}") {
            let _ = text.parse::<Token>();
        }
    }
}
