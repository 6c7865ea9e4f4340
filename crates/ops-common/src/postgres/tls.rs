//! TLS to Postgres, by rustls: libpq's modes, and what went wrong in words.
//!
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>. Other than in libpq, the
//! authorities are the system's where no file is named (`~/.postgresql/root.crt` is
//! not read), a certificate has to have a subjectAltName, and an authority's own
//! certificate is not taken for a server's.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Error;
use crate::files::limited;

/// A system's own list of authorities has a quarter of one MiB.
const MOST_PEM_BYTES: u64 = 8 << 20;

/// libpq's `sslmode`, but for `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SslMode {
    /// no TLS
    Disable,
    /// TLS where the server has it; nobody looks who it is
    Prefer,
    /// TLS; nobody looks who it is
    Require,
    /// TLS, and an authority vouches for the server
    VerifyCa,
    /// TLS, and an authority vouches for this very host
    VerifyFull,
}

impl SslMode {
    /// As a URL says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Which authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// this machine's
    System,
    /// those whose certificates are in a file, as PEM
    File(PathBuf),
}

/// Where systems keep the certificates of the authorities that they trust: Debian,
/// Red Hat, macOS and Alpine.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

impl RootCert {
    /// What libpq's `sslrootcert` has to be for the same. Its own word for the
    /// system's, `system`, came with version 16.
    #[must_use]
    pub fn for_libpq(&self) -> String {
        let file = match self {
            Self::File(file) => std::path::absolute(file).ok().or_else(|| Some(file.clone())),
            Self::System => std::env::var_os("SSL_CERT_FILE")
                .map(PathBuf::from)
                .into_iter()
                .chain(SYSTEM_FILES.map(PathBuf::from))
                .find(|file| file.is_file()),
        };
        file.map_or_else(|| "system".to_owned(), |file| file.display().to_string())
    }
}

/// What makes connections of this mode, or `None` where they have no TLS.
///
/// # Errors
/// Authorities that cannot be read.
pub fn connector(mode: SslMode, roots: &RootCert) -> Result<Option<MakeRustlsConnect>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let cannot = |error: &dyn fmt::Display| Error::new("cannot set up TLS").cause(error);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| cannot(&error))?;
    let config = match mode {
        SslMode::Disable => return Ok(None),
        SslMode::VerifyFull => config.with_root_certificates(trusted(roots)?),
        SslMode::Prefer | SslMode::Require | SslMode::VerifyCa => {
            let authorities = match mode {
                SslMode::VerifyCa => {
                    let roots = Arc::new(trusted(roots)?);
                    let verifier =
                        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
                    Some(verifier.build().map_err(|error| cannot(&error))?)
                }
                _ => None,
            };
            let verifier = AnyHost { authorities, provider };
            config.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(Some(MakeRustlsConnect::new(config.with_no_client_auth())))
}

fn trusted(roots: &RootCert) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    match roots {
        RootCert::File(file) => {
            let unreadable = |error: &dyn fmt::Display| {
                Error::new(format!("cannot read the certificates in `{}`", file.display()))
                    .cause(error)
                    .hint("sslrootcert names a file of certificates in PEM form")
            };
            let pem = limited::read(file, MOST_PEM_BYTES).map_err(|e| unreadable(&e))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                store.add(certificate).map_err(|error| unreadable(&error))?;
            }
            if store.is_empty() {
                return Err(unreadable(&"it has none"));
            }
        }
        RootCert::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(Error::new("this system has no certificate authorities to trust")
                    .hint("install the package `ca-certificates`, or name a file with `?sslrootcert=FILE`"));
            }
        }
    }
    Ok(store)
}

/// Takes a certificate for any host: by one of the authorities, or by anybody.
#[derive(Debug)]
struct AnyHost {
    /// none: by anybody
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The name is looked at last: the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Adds to `error` what was wrong, and what fixes it. `variable` holds the URL.
#[must_use]
pub fn explain(error: Error, tls: &rustls::Error, variable: &str) -> Error {
    let rustls::Error::InvalidCertificate(wrong) = tls else {
        return error
            .cause(tls)
            .hint(format!("look at the host and port in {variable}: is it Postgres?"));
    };
    match wrong {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => error
            .cause("wrong host: its certificate is for another name")
            .cause(wrong)
            .hint(format!("name the server in {variable} as its certificate does, in a subjectAltName")),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => error
            .cause("expired: its certificate is out of date")
            .cause(wrong)
            .hint("renew the server's certificate; or this machine's clock is off (`date -u`)"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => error
            .cause("its certificate is not valid yet")
            .cause(wrong)
            .hint("this machine's clock is off, likely: compare `date -u` with the right time"),
        CertificateError::UnknownIssuer => error
            .cause("signed by an unknown CA")
            .hint(format!(
                "name the file of the authority's certificate in {variable} with `?sslrootcert=FILE`; for RDS it is the region's bundle"
            )),
        _ => error.cause(wrong).hint(format!(
            "look at the server's certificate, and at the authorities that {variable} names with `?sslrootcert=FILE`"
        )),
    }
}
