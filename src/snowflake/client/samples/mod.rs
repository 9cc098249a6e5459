//! Keys for the tests, made with openssl for this folder and used nowhere else. The passphrase is "open sesame".

pub const PKCS8: &str = include_str!("pkcs8.pem");
pub const PKCS1: &str = include_str!("pkcs1.pem");
pub const PKCS8_AES: &str = include_str!("pkcs8-aes.pem");
pub const PKCS8_3DES: &str = include_str!("pkcs8-3des.pem");
pub const PUBLIC: &str = include_str!("public.pem");
pub const EC: &str = include_str!("ec.pem");
pub const SHORT: &str = include_str!("short.pem");
/// As openssl computes it from the public key.
pub const FINGERPRINT: &str = "SHA256:yJnmkPRVqr5e5R4036Yh/u32LW5YrhihWZ+KtWvcVKk=";
