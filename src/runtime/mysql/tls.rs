//! TLS to the database, with the server's certificate and name verified.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::error::MysqlError;
use super::wire::Stream;

/// The root certificates of RDS in all regions of the partitions `aws` and `aws-us-gov`
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html>).
const RDS_ROOTS: &[u8] = include_bytes!("rds-ca.pem");

/// How a connection is protected.
#[derive(Clone)]
pub enum Tls {
    /// Not at all: for a server on this machine only.
    Off,
    /// By a certificate that these roots vouch for.
    Verify(Arc<ClientConfig>),
}

impl Tls {
    /// Trusts the given roots (PEM), or those of RDS.
    pub fn verify(roots: Option<&[u8]>) -> Result<Self, MysqlError> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(roots.unwrap_or(RDS_ROOTS)) {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            store.add(certificate).map_err(|error| unusable(&error))?;
        }
        if store.is_empty() {
            return Err(unusable(&"there is no certificate in it"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self::Verify(Arc::new(config)))
    }
}

/// Puts TLS on a stream whose server is ready for it.
pub async fn upgrade(
    config: Arc<ClientConfig>,
    host: &str,
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, MysqlError> {
    let failed = |reason: String| MysqlError::Tls {
        server: host.to_owned(),
        reason,
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| failed(format!("{error}; PIPECTL_DATABASE_CA names the certificates to trust")))?;
    Ok(Box::new(stream))
}

fn unusable(reason: &dyn std::fmt::Display) -> MysqlError {
    MysqlError::Setting(format!(
        "the certificates of the setting PIPECTL_DATABASE_CA are unusable: {reason}; it must be a file of PEM certificates"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_of_rds_are_usable() {
        assert!(matches!(Tls::verify(None), Ok(Tls::Verify(_))));
        assert!(Tls::verify(Some(b"")).is_err());
    }
}
