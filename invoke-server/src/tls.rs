//! TLS, where the server itself speaks it rather than a proxy before it.

use std::{fmt, path::Path, sync::Arc};

use invoke_core::config::Config;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

/// A certificate and its key, ready for use.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// What `ssl_certfile` and `ssl_keyfile` say; `None` if neither is set. Without a key's file, the key is looked for beside the
    /// certificate.
    ///
    /// # Errors
    /// A text that names the setting and what is wrong with its file.
    pub fn of(config: &Config) -> Result<Option<Self>, String> {
        let settings = config.settings();
        let place = |path: &Path| config.root().join(path);
        match (&settings.ssl_certfile, &settings.ssl_keyfile) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err("`ssl_keyfile` is set, but not `ssl_certfile`: TLS needs a certificate".into()),
            (Some(certificate), key) => Self::read(&place(certificate), &place(key.as_deref().unwrap_or(certificate))).map(Some),
        }
    }

    /// A certificate, with those that vouch for it, and its key from PEM files.
    ///
    /// # Errors
    /// A text that names the setting and what is wrong with its file.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let of_certificate = |error: &dyn fmt::Display| format!("`ssl_certfile` {}: {error}", certificate.display());
        let of_key = |error: &dyn fmt::Display| format!("`ssl_keyfile` {}: {error}", key.display());
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| of_certificate(&error))?;
        if chain.is_empty() {
            return Err(of_certificate(&"there is no certificate in it; PEM is expected"));
        }
        let key_of_file = PrivateKeyDer::from_pem_file(key).map_err(|error| of_key(&error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| of_certificate(&error))?
            .with_no_client_auth()
            .with_single_cert(chain, key_of_file)
            .map_err(|error| of_key(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Greets a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}
