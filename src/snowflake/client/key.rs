//! Private keys of key-pair sign-in.
//!
//! Source: <https://docs.snowflake.com/en/user-guide/key-pair-auth>.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::DecodePrivateKey as _;
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use rsa::traits::PublicKeyParts as _;
use sha2::{Digest as _, Sha256};

use super::secret::Secret;

/// What can be wrong with a private key. No variant carries any part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not a PEM file.
    #[error("the private key is not in PEM form (a block that starts with -----BEGIN PRIVATE KEY-----)")]
    NotPem,
    /// A public key stands where the private one belongs.
    #[error("this is a public key; the private key of the pair is needed here")]
    PublicKey,
    /// An encrypted key came without its passphrase.
    #[error("the private key is encrypted and no passphrase was given; set SNOWFLAKE_PRIVATE_KEY_PASSPHRASE")]
    PassphraseMissing,
    /// The passphrase does not open the key.
    #[error(
        "the private key cannot be decrypted: the passphrase is wrong, or the cipher is not AES or 3DES with PBKDF2-SHA256 or scrypt"
    )]
    PassphraseWrong,
    /// A kind of key that Snowflake does not take.
    #[error(
        "the private key is not an RSA key in PKCS#8 or PKCS#1 form; make one with: openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out key.p8"
    )]
    Unsupported,
    /// Snowflake refuses RSA keys under 2048 bits.
    #[error("the private key has {0} bits; Snowflake takes RSA keys of at least 2048")]
    TooShort(usize),
}

/// An RSA private key with the fingerprint that Snowflake knows its public half by.
#[derive(Clone)]
pub struct PrivateKey {
    signing: jsonwebtoken::EncodingKey,
    fingerprint: String,
}

impl PrivateKey {
    /// Reads a PEM file: PKCS#8, PKCS#8 encrypted, or PKCS#1.
    pub fn from_pem(pem: &Secret, passphrase: Option<&Secret>) -> Result<Self, KeyError> {
        let text = pem.expose().trim();
        let key = match pem_label(text).ok_or(KeyError::NotPem)? {
            "ENCRYPTED PRIVATE KEY" => {
                let passphrase = passphrase.ok_or(KeyError::PassphraseMissing)?;
                RsaPrivateKey::from_pkcs8_encrypted_pem(text, passphrase.expose())
                    .map_err(|_| KeyError::PassphraseWrong)?
            }
            "PRIVATE KEY" => RsaPrivateKey::from_pkcs8_pem(text).map_err(|_| KeyError::Unsupported)?,
            "RSA PRIVATE KEY" => RsaPrivateKey::from_pkcs1_pem(text).map_err(|_| KeyError::Unsupported)?,
            "PUBLIC KEY" | "RSA PUBLIC KEY" => return Err(KeyError::PublicKey),
            _ => return Err(KeyError::Unsupported),
        };
        Self::from_rsa(&key)
    }

    fn from_rsa(key: &RsaPrivateKey) -> Result<Self, KeyError> {
        let bits = key.n().bits();
        if bits < 2048 {
            return Err(KeyError::TooShort(bits));
        }
        let public =
            pkcs8::EncodePublicKey::to_public_key_der(&key.to_public_key()).map_err(|_| KeyError::Unsupported)?;
        let private = key.to_pkcs1_der().map_err(|_| KeyError::Unsupported)?;
        Ok(Self {
            signing: jsonwebtoken::EncodingKey::from_rsa_der(private.as_bytes()),
            fingerprint: format!("SHA256:{}", STANDARD.encode(Sha256::digest(public.as_bytes()))),
        })
    }

    /// `SHA256:…` of the public key, as `DESC USER` shows it in `RSA_PUBLIC_KEY_FP`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn signing(&self) -> &jsonwebtoken::EncodingKey {
        &self.signing
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

fn pem_label(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    rest.split_once("-----").map(|(label, _)| label)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_form_gives_the_same_key() {
        let plain = PrivateKey::from_pem(&Secret::new(samples::PKCS8), None).unwrap();
        assert_eq!(plain.fingerprint(), samples::FINGERPRINT);
        let old = PrivateKey::from_pem(&Secret::new(samples::PKCS1), None).unwrap();
        assert_eq!(old.fingerprint(), samples::FINGERPRINT);
        for encrypted in [samples::PKCS8_AES, samples::PKCS8_3DES] {
            let key = PrivateKey::from_pem(&Secret::new(encrypted), Some(&Secret::new("open sesame"))).unwrap();
            assert_eq!(key.fingerprint(), samples::FINGERPRINT);
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let read = |pem: &str, pass: Option<&str>| {
            PrivateKey::from_pem(&Secret::new(pem), pass.map(Secret::new).as_ref()).unwrap_err()
        };
        assert_eq!(read("c2VjcmV0", None), KeyError::NotPem);
        assert_eq!(read(samples::PUBLIC, None), KeyError::PublicKey);
        assert_eq!(read(samples::PKCS8_AES, None), KeyError::PassphraseMissing);
        assert_eq!(read(samples::PKCS8_AES, Some("wrong")), KeyError::PassphraseWrong);
        assert_eq!(read(samples::EC, None), KeyError::Unsupported);
        assert_eq!(read(samples::SHORT, None), KeyError::TooShort(1024));
    }

    #[test]
    fn debug_shows_only_the_fingerprint() {
        let shown = format!(
            "{:?}",
            PrivateKey::from_pem(&Secret::new(samples::PKCS8), None).unwrap()
        );
        assert_eq!(
            shown,
            format!("PrivateKey {{ fingerprint: {:?}, .. }}", samples::FINGERPRINT)
        );
    }
}
