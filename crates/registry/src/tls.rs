//! TLS to registries: the system's roots and what `certs.d` adds to them.
//!
//! Settings hold the files' contents, not their names, so that a certificate that was replaced counts for the next
//! pull without a reload.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::error::{Failure, RegistryError, Result};

/// So many different settings are kept ready; more are made anew.
const KEPT: usize = 64;

/// A file that was read, and its name for messages.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PemFile {
    path: PathBuf,
    content: Vec<u8>,
}

impl PemFile {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let content = std::fs::read(path)
            .map_err(|source| RegistryError::ReadFile { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), content })
    }

    fn bad(&self, reason: impl std::fmt::Display) -> RegistryError {
        RegistryError::BadFile { path: self.path.clone(), reason: reason.to_string() }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let all = CertificateDer::pem_slice_iter(&self.content)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| self.bad(error))?;
        if all.is_empty() { Err(self.bad("no certificate in it")) } else { Ok(all) }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.content).map_err(|error| self.bad(error))
    }
}

/// Whether a server must prove who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Verification {
    #[default]
    Full,
    None,
}

/// What decides how TLS is spoken with a server.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct TlsSettings {
    /// In addition to the system's roots.
    pub(crate) authorities: Vec<PemFile>,
    /// Certificate and key of this side.
    pub(crate) client: Option<(PemFile, PemFile)>,
    pub(crate) verification: Verification,
}

/// Settings made ready; the number tells one from another.
#[derive(Clone)]
pub(crate) struct TlsClient {
    pub(crate) number: u64,
    pub(crate) config: Arc<ClientConfig>,
}

/// All settings that are in use.
#[derive(Default)]
pub(crate) struct TlsClients {
    roots: OnceLock<RootCertStore>,
    ready: Mutex<Ready>,
}

#[derive(Default)]
struct Ready {
    last_number: u64,
    clients: HashMap<TlsSettings, TlsClient>,
}

impl TlsClients {
    pub(crate) fn client(&self, settings: &TlsSettings) -> Result<TlsClient> {
        let known = |ready: &Ready| ready.clients.get(settings).cloned();
        if let Some(client) = known(&self.ready.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(client);
        }
        let config = Arc::new(self.make(settings)?);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known(&ready) {
            return Ok(client);
        }
        if ready.clients.len() >= KEPT {
            ready.clients.clear();
        }
        ready.last_number += 1;
        let client = TlsClient { number: ready.last_number, config };
        ready.clients.insert(settings.clone(), client.clone());
        Ok(client)
    }

    fn make(&self, settings: &TlsSettings) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                let path = PathBuf::from("TLS");
                RegistryError::BadFile { path, reason: error.to_string() }
            })?;
        let builder = match settings.verification {
            Verification::None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoVerification { provider })),
            Verification::Full => {
                let verifier = self.verifier(&settings.authorities, &provider)?;
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        match &settings.client {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificate.certificates()?, key.key()?)
                .map_err(|error| certificate.bad(error)),
        }
    }
}

impl TlsClients {
    fn verifier(
        &self,
        authorities: &[PemFile],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>> {
        let mut roots = self.roots.get_or_init(system_roots).clone();
        let mut trusted = Vec::new();
        for file in authorities {
            for certificate in file.certificates()? {
                roots.add(certificate.clone()).map_err(|error| file.bad(error))?;
                trusted.push(certificate);
            }
        }
        let built = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
        let usual = built.build().map_err(|error| RegistryError::BadFile {
            path: PathBuf::from("the system's root certificates"),
            reason: error.to_string(),
        })?;
        Ok(Arc::new(FullVerification { usual, trusted }))
    }
}

/// What cannot be read of the system's roots is left out: a registry that needs it says so.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot load some of the system's root certificates");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "root certificates of the system");
    roots
}

/// The usual verification, and one thing more: a server whose own certificate lies in `certs.d` is trusted by the names
/// in it, also when it says that it is an authority. `openssl req -x509` makes such certificates, Docker's manual puts
/// them there, and Go takes them.
#[derive(Debug)]
struct FullVerification {
    usual: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for FullVerification {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let usual = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match usual {
            // Neither the dates (they are looked at before) nor the signature: what it says of itself.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.trusted.iter().any(|trusted| trusted == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// For `insecure-registries` and `skip_verify`: signatures must still be those of the certificate that was shown.
#[derive(Debug)]
struct NoVerification {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Sorts the error of a handshake; `host` is `host:port`.
pub(crate) fn handshake_failure(error: std::io::Error, host: &str) -> Failure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        // A plain server's answer to the first message begins with "HTTP/1".
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            Failure::NotTls { registry: host.strip_suffix(":443").unwrap_or(host).to_owned() }
        }
        Some(rustls::Error::InvalidCertificate(reason)) => {
            Failure::Certificate { reason: in_gos_words(reason, host) }
        }
        _ => Failure::Tls { host: host.to_owned(), source: error },
    }
}

fn in_gos_words(reason: &CertificateError, host: &str) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum, and it grows")]
    match reason {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".into(),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "certificate has expired or is not yet valid".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            format!("certificate is not valid for {name}")
        }
        other => other.to_string(),
    }
}
