//! Whom the other server's certificate has to be vouched for by.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::base::fault::Fault;

/// Where machines keep the authorities they trust, the commonest first.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// A file of authorities is not longer, bytes.
const BUNDLE_BYTES_MAX: u64 = 8 << 20;

/// How TLS is spoken with the other server: its certificate is always checked.
///
/// # Errors
/// `upstream_ca_unusable` when `ca_file` holds no certificate, or the machine trusts nobody.
pub(super) fn config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Fault> {
    let roots = match ca_file {
        Some(path) => roots(path)?,
        None => machine_roots()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Fault::broken("preparing TLS", e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn machine_roots() -> Result<RootCertStore, Fault> {
    let found = BUNDLES.iter().map(Path::new).find(|path| path.exists());
    let path = found.ok_or_else(|| {
        unusable("This machine has no file of authorities; set assistant.openai.ca_file.".into())
    })?;
    roots(path)
}

/// The authorities in a file, PEM or a single one as DER.
fn roots(path: &Path) -> Result<RootCertStore, Fault> {
    let shown = path.display();
    let unreadable = |e| unusable(format!("{shown} cannot be read: {e}"));
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > BUNDLE_BYTES_MAX {
        return Err(unusable(format!("{shown} is too long for a file of authorities.")));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    // A machine's bundle may hold what this library does not read; one good authority is enough.
    let pem = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok);
    let (good, _) = roots.add_parsable_certificates(pem);
    if good == 0 && roots.add(CertificateDer::from(bytes)).is_err() {
        return Err(unusable(format!("{shown} holds no certificate of an authority.")));
    }
    Ok(roots)
}

fn unusable(message: String) -> Fault {
    Fault::unavailable("upstream_ca_unusable", message)
}
