//! The box's own certificate authority, the certificate it shows, and TLS over a socket.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::paths::write_private;

/// How long the authority lasts: ten years.
pub const AUTHORITY_LASTS: Duration = Duration::from_hours(10 * 365 * 24);
/// How long a certificate lasts: ninety days.
pub const CERTIFICATE_LASTS: Duration = Duration::from_hours(90 * 24);
/// A certificate with less than this left is replaced: thirty days.
pub const RENEW_BEFORE: Duration = Duration::from_hours(30 * 24);
/// Both begin a day early, for devices whose clock is behind.
const BEGINS_EARLY: Duration = Duration::from_hours(24);

/// Domains that belong to private networks (RFC 6762, RFC 8375, ICANN's `internal`, and what routers use).
const PRIVATE_DOMAINS: [&str; 5] = ["localhost", "local", "lan", "home.arpa", "internal"];
/// Address ranges that belong to private networks (RFC 1918, 3927, 4193, 4291, 6598).
const PRIVATE_RANGES: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

const AUTHORITY_KEY: &str = "ca.key";
const AUTHORITY: &str = "ca.crt";
const NOTE: &str = "tls.json";

/// A connection that TLS protects.
pub type Secure = tokio_rustls::server::TlsStream<TcpStream>;

type Turn = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Fault> + Send + Sync>;

/// Seals private keys before they touch the disk, and opens them again.
pub struct Sealer {
    /// Makes bytes unreadable without the root key.
    pub seal: Turn,
    /// The reverse; a fault when the bytes were changed or the root key is another.
    pub open: Turn,
}

/// What the certificate stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Host names, for instance `ilot.local`.
    pub hosts: Vec<String>,
    /// Addresses of the box.
    pub addresses: Vec<IpAddr>,
}

/// What the folder of keys holds, for the next start.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    authority_begins: Moment,
    authority_ends: Moment,
    /// Names the authority may vouch for besides the private ones.
    further_hosts: Vec<String>,
}

/// The certificate being shown.
#[derive(Debug, Clone)]
struct Shown {
    names: Names,
    left_out: Vec<String>,
    begins: Moment,
    ends: Moment,
}

/// The authority and the certificate of one box. Clones share both.
#[derive(Clone)]
pub struct Tls(Arc<Inside>);

struct Inside {
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    root: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    note: Note,
    shown: Mutex<Shown>,
    resolver: Arc<Resolver>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Resolver(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Opens the authority kept in `keys`, or founds one named after `site`, and makes a certificate
    /// for `names`.
    ///
    /// The authority's key is sealed on disk; the certificate's key never leaves memory, since a new
    /// one costs a millisecond at each start.
    ///
    /// # Errors
    /// `tls_authority_unreadable` when the files are there and cannot be read or opened; `internal`
    /// when they cannot be written.
    pub fn open(
        keys: &Path,
        site: &str,
        names: &Names,
        clock: Arc<dyn Clock>,
        sealer: &Sealer,
    ) -> Result<Self, Fault> {
        let now = clock.now();
        let kept = read_authority(keys, sealer)?;
        // Nobody accepts an authority outside its years, so a new one takes nothing from anybody.
        let kept = kept.filter(|a| a.note.authority_begins <= now && now < a.note.authority_ends);
        let authority = match kept {
            Some(authority) => authority,
            None => found_authority(keys, site, names, now, sealer)?,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let issuer = Issuer::from_ca_cert_der(&authority.root, authority.key)
            .map_err(|e| unreadable(&keys.join(AUTHORITY), e))?;
        let (shown, key) =
            make_certificate(&issuer, &authority.root, &authority.note, names, now, &provider)?;
        let resolver = Arc::new(Resolver(RwLock::new(Arc::new(key))));
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&provider, &resolver)?));
        Ok(Self(Arc::new(Inside {
            clock,
            provider,
            root: authority.root,
            pem: authority.pem,
            issuer,
            note: authority.note,
            shown: Mutex::new(shown),
            resolver,
            acceptor,
        })))
    }

    /// Replaces the certificate when it nears its end, begins in the future, or stands for other
    /// names than `names`; connections that begin afterwards see the new one. A task calls it often.
    ///
    /// # Errors
    /// `internal` when no certificate can be made.
    pub fn renew(&self, names: &Names) -> Result<bool, Fault> {
        let inside = &*self.0;
        let now = inside.clock.now();
        let mut shown = inside.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let good =
            shown.begins <= now && now.plus(RENEW_BEFORE) < shown.ends && shown.names == *names;
        if good {
            return Ok(false);
        }
        let (fresh, key) = make_certificate(
            &inside.issuer,
            &inside.root,
            &inside.note,
            names,
            now,
            &inside.provider,
        )?;
        *inside.resolver.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        *shown = fresh;
        Ok(true)
    }

    /// The authority's certificate, DER: what `/ca.crt` sends to devices.
    pub fn root_der(&self) -> &[u8] {
        &self.0.root
    }

    /// The authority's certificate, PEM.
    pub fn root_pem(&self) -> &str {
        &self.0.pem
    }

    /// The SHA-256 of the authority's certificate, as devices show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        fingerprint_of(&self.0.root)
    }

    /// When the present certificate ends.
    pub fn ends(&self) -> Moment {
        self.shown().ends
    }

    /// When the authority ends.
    pub fn authority_ends(&self) -> Moment {
        self.0.note.authority_ends
    }

    /// Names asked for that the authority may not vouch for, because they are not private ones and
    /// were not known when it was founded.
    pub fn left_out(&self) -> Vec<String> {
        self.shown().left_out
    }

    /// Shakes hands over an accepted connection.
    ///
    /// # Errors
    /// What the peer did wrong, or that it went away.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Secure> {
        self.0.acceptor.accept(stream).await
    }

    fn shown(&self) -> Shown {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The SHA-256 of a DER certificate, as devices show it: `AB:CD:…`.
pub fn fingerprint_of(der: &[u8]) -> String {
    let Some(suite) = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13() else {
        return String::new();
    };
    let mut text = String::new();
    for byte in suite.common.hash_provider.hash(der).as_ref() {
        if !text.is_empty() {
            text.push(':');
        }
        let _ = write!(text, "{byte:02X}");
    }
    text
}

struct Authority {
    root: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
    note: Note,
}

fn read_authority(keys: &Path, sealer: &Sealer) -> Result<Option<Authority>, Fault> {
    let (certificate, key, note) =
        (keys.join(AUTHORITY), keys.join(AUTHORITY_KEY), keys.join(NOTE));
    // The certificate is written last: without it the founding was cut short and begins anew.
    let pem = match fs::read_to_string(&certificate) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| unreadable(&certificate, e))?,
    };
    let root = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| unreadable(&certificate, e.to_string()))?
        .into_owned();
    let closed = fs::read(&key).map_err(|e| unreadable(&key, e))?;
    let opened = (sealer.open)(&closed).map_err(|e| unreadable(&key, e))?;
    let pair = KeyPair::try_from(opened.as_slice()).map_err(|e| unreadable(&key, e))?;
    let text = fs::read(&note).map_err(|e| unreadable(&note, e))?;
    let note = serde_json::from_slice(&text).map_err(|e| unreadable(&note, e))?;
    Ok(Some(Authority { root, pem, key: pair, note }))
}

fn found_authority(
    keys: &Path,
    site: &str,
    names: &Names,
    now: Moment,
    sealer: &Sealer,
) -> Result<Authority, Fault> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|e| Fault::broken("making the authority's key", e))?;
    let further_hosts: Vec<String> =
        names.hosts.iter().filter(|host| !is_private_host(host)).cloned().collect();
    let note = Note {
        authority_begins: before(now, BEGINS_EARLY),
        authority_ends: now.plus(AUTHORITY_LASTS),
        further_hosts,
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "ilot");
    // The year tells two authorities of one site apart in a device's list.
    params.distinguished_name.push(DnType::CommonName, format!("ilot {site} {}", year_of(now)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(constraints(&note.further_hosts));
    span(&mut params, note.authority_begins, note.authority_ends);
    let certificate =
        params.self_signed(&key).map_err(|e| Fault::broken("founding the authority", e))?;
    let closed = (sealer.seal)(key.serialized_der())?;
    let json =
        serde_json::to_vec_pretty(&note).map_err(|e| Fault::broken("writing tls.json", e))?;
    let (root, pem) = (certificate.der().clone(), certificate.pem());
    let files: [(&str, &[u8]); 3] =
        [(AUTHORITY_KEY, &closed), (NOTE, &json), (AUTHORITY, pem.as_bytes())];
    for (file, bytes) in files {
        write_private(&keys.join(file), bytes)
            .map_err(|e| Fault::broken("writing the authority", e))?;
    }
    Ok(Authority { root, pem, key, note })
}

fn make_certificate(
    issuer: &Issuer<'static, KeyPair>,
    root: &CertificateDer<'static>,
    note: &Note,
    names: &Names,
    now: Moment,
    provider: &CryptoProvider,
) -> Result<(Shown, CertifiedKey), Fault> {
    let doing = |e: rcgen::Error| Fault::broken("making the certificate", e);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(doing)?;
    let (mut alternatives, mut left_out) = (Vec::new(), Vec::new());
    for host in &names.hosts {
        let vouched =
            is_private_host(host) || note.further_hosts.iter().any(|known| below(host, known));
        match host.to_ascii_lowercase().try_into() {
            Ok(name) if vouched => alternatives.push(SanType::DnsName(name)),
            _ => left_out.push(host.clone()),
        }
    }
    for address in &names.addresses {
        let address = address.to_canonical();
        if PRIVATE_RANGES.iter().any(|range| inside(address, *range)) {
            alternatives.push(SanType::IpAddress(address));
        } else {
            left_out.push(address.to_string());
        }
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ilot");
    params.subject_alt_names = alternatives;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let (begins, ends) = (
        before(now, BEGINS_EARLY).max(note.authority_begins),
        now.plus(CERTIFICATE_LASTS).min(note.authority_ends),
    );
    span(&mut params, begins, ends);
    let certificate = params.signed_by(&key, issuer).map_err(doing)?;
    // The root goes along, so that a person at a browser can compare its fingerprint.
    let chain = vec![certificate.der().clone(), root.clone()];
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let certified = CertifiedKey::from_der(chain, private, provider)
        .map_err(|e| Fault::broken("loading the certificate", e))?;
    Ok((Shown { names: names.clone(), left_out, begins, ends }, certified))
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    resolver: &Arc<Resolver>,
) -> Result<ServerConfig, Fault> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|e| Fault::broken("setting up TLS", e))?
        .with_no_client_auth()
        .with_cert_resolver(resolver.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn constraints(further_hosts: &[String]) -> NameConstraints {
    let private = PRIVATE_DOMAINS.iter().map(ToString::to_string);
    let hosts = private.chain(further_hosts.iter().map(|h| h.to_ascii_lowercase()));
    let mut permitted: Vec<GeneralSubtree> = hosts.map(GeneralSubtree::DnsName).collect();
    permitted.extend(PRIVATE_RANGES.iter().map(|(address, bits)| {
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, *bits))
    }));
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() }
}

/// Whether the authority may always vouch for `host`: it lies in a private domain.
fn is_private_host(host: &str) -> bool {
    PRIVATE_DOMAINS.iter().any(|domain| below(host, domain))
}

fn below(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn inside(address: IpAddr, (base, bits): (IpAddr, u8)) -> bool {
    let bits = u32::from(bits);
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits,
        _ => false,
    }
}

fn before(moment: Moment, span: Duration) -> Moment {
    Moment(moment.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}

/// Sets the first and the last moment of a certificate.
fn span(params: &mut CertificateParams, begins: Moment, ends: Moment) {
    let since_1970 = |moment: Moment| {
        Duration::from_secs(u64::try_from(moment.0 / 1000).unwrap_or(0).min(LAST_SECOND))
    };
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(begins);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(ends);
}

/// 9999-12-31, the last day that X.509 can write.
const LAST_SECOND: u64 = 253_402_214_400;

fn year_of(moment: Moment) -> String {
    moment.to_rfc3339().chars().take(4).collect()
}

fn unreadable(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    let file = path.file_name().map(PathBuf::from).unwrap_or_default();
    Fault::unavailable(
        "tls_authority_unreadable",
        format!(
            "The certificate authority cannot be read from keys/{}; restore that folder, or move it \
             away to found a new authority that every device must be shown again.",
            file.display()
        ),
    )
    .because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::HeldClock;

    fn plain() -> Sealer {
        Sealer {
            seal: Box::new(|bytes| Ok(bytes.iter().map(|b| b ^ 0x55).collect())),
            open: Box::new(|bytes| Ok(bytes.iter().map(|b| b ^ 0x55).collect())),
        }
    }

    fn names(hosts: &[&str], addresses: &[&str]) -> Names {
        Names {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_authority_outlives_the_process_and_its_key_is_sealed() {
        let keys = tempfile::tempdir().unwrap();
        let clock = Arc::new(HeldClock::at(Moment(1_800_000_000_000)));
        let wanted = names(&["ilot.local"], &["192.168.1.5"]);
        let open = || Tls::open(keys.path(), "Lyon", &wanted, clock.clone(), &plain());
        let first = open().unwrap().fingerprint();
        assert_eq!(open().unwrap().fingerprint(), first);
        let sealed = fs::read(keys.path().join(AUTHORITY_KEY)).unwrap();
        assert!(KeyPair::try_from(sealed.as_slice()).is_err(), "the key lies open on disk");
        fs::write(keys.path().join(AUTHORITY_KEY), b"rubbish").unwrap();
        assert_eq!(open().err().map(|f| f.code), Some("tls_authority_unreadable"));
    }

    #[test]
    fn a_certificate_is_renewed_in_time_and_when_names_change() {
        let keys = tempfile::tempdir().unwrap();
        let clock = Arc::new(HeldClock::at(Moment(1_800_000_000_000)));
        let wanted = names(&["ilot.local"], &["10.0.0.1"]);
        let tls = Tls::open(keys.path(), "Lyon", &wanted, clock.clone(), &plain()).unwrap();
        assert!(!tls.renew(&wanted).unwrap());
        clock.pass(Duration::from_hours(59 * 24));
        assert!(!tls.renew(&wanted).unwrap());
        clock.pass(Duration::from_hours(2 * 24));
        assert!(tls.renew(&wanted).unwrap() && !tls.renew(&wanted).unwrap());
        assert!(tls.renew(&names(&["ilot.local"], &["10.0.0.2"])).unwrap());
        // The clock was far ahead and is put right: the certificate must not begin in the future.
        clock.set_wall(Moment(1_800_000_000_000));
        assert!(tls.renew(&names(&["ilot.local"], &["10.0.0.2"])).unwrap());
    }

    #[test]
    fn the_authority_vouches_for_private_names_and_those_it_was_founded_with() {
        let keys = tempfile::tempdir().unwrap();
        let clock = Arc::new(HeldClock::at(Moment(1_800_000_000_000)));
        let at_first = names(&["box7", "depot.example.com"], &[]);
        let tls = Tls::open(keys.path(), "Lyon", &at_first, clock, &plain()).unwrap();
        assert_eq!(tls.left_out(), Vec::<String>::new());
        tls.renew(&names(&["box7", "a.lan", "bank.example", "xlan"], &["8.8.8.8", "fd00::1"]))
            .unwrap();
        assert_eq!(tls.left_out(), ["bank.example", "xlan", "8.8.8.8"]);
    }
}
