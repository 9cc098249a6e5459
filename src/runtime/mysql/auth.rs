//! The greeting, our answer, and the ways to prove a password
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>).

use rsa::pkcs8::DecodePublicKey as _;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::row::Bytes;
use super::value::write_bytes;

/// Capability flags
/// (<https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html>).
pub mod capability {
    pub const SSL: u32 = 0x800;
    pub const DEPRECATE_EOF: u32 = 0x100_0000;
    /// LONG_PASSWORD, LONG_FLAG, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PLUGIN_AUTH and
    /// PLUGIN_AUTH_LENENC_CLIENT_DATA: what every server since 5.7 has.
    pub const NEEDED: u32 = 0x1 | 0x4 | 0x200 | 0x2000 | 0x8000 | 0x2_0000 | 0x8_0000 | 0x20_0000;
}

/// utf8mb4_general_ci, which every MySQL and MariaDB knows by this number.
const COLLATION: u8 = 45;
/// The largest payload we say we take; the real limit is ours (`wire::PAYLOAD_MAX`).
const MAX_PACKET: u32 = 1 << 30;

/// What the server says first.
pub struct Greeting {
    pub version: String,
    pub capabilities: u32,
    pub plugin: String,
    pub nonce: Vec<u8>,
}

impl Greeting {
    /// Reads the greeting, or gives `None` when it is none of protocol 10.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let mut rest = Bytes(packet);
        if rest.byte()? != 10 {
            return None;
        }
        let version = String::from_utf8_lossy(rest.terminated()).into_owned();
        rest.long()?;
        let mut nonce = rest.take(8)?.to_vec();
        rest.byte()?;
        let low = u32::from(rest.short()?);
        rest.take(3)?; // character set and status
        let capabilities = low | u32::from(rest.short()?) << 16;
        let length = usize::from(rest.byte()?);
        rest.take(10)?;
        let more = rest.take(length.saturating_sub(8).max(13))?;
        nonce.extend_from_slice(more.strip_suffix(&[0]).unwrap_or(more));
        let plugin = String::from_utf8_lossy(rest.terminated()).into_owned();
        Some(Self {
            version,
            capabilities,
            plugin,
            nonce,
        })
    }
}

/// The first bytes of our answer, which alone ask for TLS.
pub fn opening(capabilities: u32) -> Vec<u8> {
    let mut out = capabilities.to_le_bytes().to_vec();
    out.extend_from_slice(&MAX_PACKET.to_le_bytes());
    out.push(COLLATION);
    out.resize(out.len() + 23, 0);
    out
}

/// Our whole answer.
pub fn response(capabilities: u32, user: &str, proof: &[u8], plugin: &str) -> Vec<u8> {
    let mut out = opening(capabilities);
    out.extend_from_slice(user.as_bytes());
    out.push(0);
    write_bytes(&mut out, proof);
    out.extend_from_slice(plugin.as_bytes());
    out.push(0);
    out
}

/// A way to prove a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    Native,
    CachingSha2,
    /// The password itself, over TLS only: RDS takes IAM tokens this way.
    Clear,
}

impl Plugin {
    pub const CACHING_SHA2: &'static str = "caching_sha2_password";

    pub fn named(name: &str) -> Option<Self> {
        match name {
            "mysql_native_password" => Some(Self::Native),
            Self::CACHING_SHA2 => Some(Self::CachingSha2),
            "mysql_clear_password" => Some(Self::Clear),
            _ => None,
        }
    }

    /// What proves the password to a server that sent this nonce.
    pub fn proof(self, password: &str, nonce: &[u8]) -> Zeroizing<Vec<u8>> {
        let password = password.as_bytes();
        if password.is_empty() {
            return Zeroizing::default();
        }
        match self {
            Self::Native => {
                let once = Sha1::digest(password);
                let mask = Sha1::new()
                    .chain_update(nonce)
                    .chain_update(Sha1::digest(once))
                    .finalize();
                xor(&once, &mask)
            }
            Self::CachingSha2 => {
                let once = Sha256::digest(password);
                let twice = Sha256::digest(Sha256::digest(once));
                let mask = Sha256::new().chain_update(twice).chain_update(nonce).finalize();
                xor(&once, &mask)
            }
            Self::Clear => terminated(password),
        }
    }
}

/// The password behind which a zero byte stands, as TLS may carry it.
pub fn terminated(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    out.extend_from_slice(password);
    out.push(0);
    out
}

/// The password for the owner of this public key (PEM), as a connection without TLS may carry it.
pub fn encrypted(password: &str, nonce: &[u8], key: &str) -> Option<Vec<u8>> {
    let key = rsa::RsaPublicKey::from_public_key_pem(key).ok()?;
    let clear = terminated(password.as_bytes());
    let mask: Vec<u8> = nonce.iter().copied().cycle().take(clear.len()).collect();
    let mut random = rsa::rand_core::OsRng;
    key.encrypt(&mut random, rsa::Oaep::new::<Sha1>(), &xor(&clear, &mask))
        .ok()
}

fn xor(left: &[u8], right: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(left.iter().zip(right).map(|(left, right)| left ^ right).collect())
}
