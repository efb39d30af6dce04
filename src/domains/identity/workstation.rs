//! Signing in without a password, from workstations that the settings name, for those marked for it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::records::{SECOND_FACTORS, User};
use super::signing_in::Credentials;
use super::users::{self, Draft};
use super::{Identity, names, roles};
use crate::base::caller::{Caller, Right, Rights};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::store::{Deed, Reader, Tx};

/// Rights that nobody ever holds without having shown a password: administration, money, and other
/// machines. A user with one of them does not sign in from a workstation, whatever its mark says.
pub const NEVER_WITHOUT_PASSWORD: &[Right] = &[
    Right::ManageRights,
    Right::AdminAccess,
    Right::ViewSauron,
    Right::ManageAnnouncementsConfig,
    Right::ViewFinance,
    Right::ManageFinance,
    Right::ManageCollections,
    Right::ManageAssistant,
    Right::ManageAttendance,
    Right::PunchForOthers,
    Right::ViewRemote,
    Right::UseRemote,
    Right::ManageRemote,
    Right::ManagePlugins,
    Right::ManageJobs,
    Right::ManageBackups,
    Right::RestoreBackups,
    Right::ExportActivity,
    Right::UseContinuity,
    Right::SealContinuity,
    Right::RelayContinuity,
    Right::ManageContinuity,
];

/// The role of an unknown name that is let in.
const STRANGER: &str = "viewer";

/// Whether rights hold one of [`NEVER_WITHOUT_PASSWORD`].
pub fn needs_password(rights: Rights) -> bool {
    NEVER_WITHOUT_PASSWORD.iter().any(|right| rights.holds(*right))
}

/// Settings under `[identity.workstation_login]`: where one signs in without a password. The address is
/// what counts, since a client says of its host name what it likes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkstationLogin {
    /// From which networks, for instance `192.168.7.0/24`. Empty, the default, switches it off.
    pub networks: Vec<Network>,
    /// Of which workstations, as they name themselves; empty for any in the networks.
    pub hostnames: Vec<String>,
    /// Whether an unknown name gets an account with the role `viewer` on the way.
    pub create_unknown: bool,
}

impl WorkstationLogin {
    /// Whether anybody signs in without a password.
    pub fn is_on(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether an address lies in one of the networks.
    pub fn reaches(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.networks.iter().any(|net| net.holds(address)))
    }

    /// Whether somebody at that address and workstation may do without a password.
    pub fn takes(&self, address: Option<IpAddr>, hostname: &str) -> bool {
        let hostname = hostname.trim();
        let named = self.hostnames.iter().any(|known| known.trim().eq_ignore_ascii_case(hostname));
        self.reaches(address) && (self.hostnames.is_empty() || named)
    }
}

/// Addresses that begin alike (CIDR, RFC 4632): `10.0.0.0/8`, `fd00::/8`, or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address in IPv6 clothes is the IPv4 address.
    pub fn holds(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(one)) => {
                let differ = net.to_bits() ^ one.to_bits();
                differ.checked_shr(u32::BITS - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(one)) => {
                let differ = net.to_bits() ^ one.to_bits();
                differ.checked_shr(u128::BITS - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a network such as 192.168.7.0/24");
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let widest = if address.is_ipv4() { u32::BITS } else { u128::BITS };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= widest),
            None => Some(widest),
        };
        Ok(Self { address, bits: bits.ok_or_else(wrong)? })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl Identity {
    /// Whether a user may do without a password now: marked for it, holding nothing that needs one, and
    /// without a second factor, which would be the stronger wish.
    pub(super) fn may_do_without(
        reader: &impl Reader,
        user: &User,
        now: Moment,
    ) -> Result<bool, Fault> {
        let (rights, second_factor) = roles::rights_of(reader, user, now)?;
        let enrolled = reader.get(&SECOND_FACTORS, &user.id)?.is_some_and(|f| f.is_enrolled());
        Ok(user.workstation
            && user.is_active()
            && !user.is_system_admin
            && !needs_password(rights)
            && !second_factor
            && !enrolled)
    }

    /// Makes the account of a name that nobody has, as the settings allow; none when the name is no
    /// name, or when the role of strangers holds more than strangers may have.
    pub(super) fn stranger(
        tx: &mut Tx<'_>,
        caller: &Caller,
        shown: &Credentials,
    ) -> Result<Option<User>, Fault> {
        let name = names::bare(&shown.name).to_owned();
        let mut fields = Vec::new();
        names::check_name("username", &name, &mut fields);
        if !fields.is_empty() || name.contains('@') {
            return Ok(None);
        }
        let draft = Draft {
            username: name,
            role: STRANGER.to_owned(),
            workstation: true,
            password: Zeroizing::default(),
            ..Draft::default()
        };
        users::create(tx, caller, draft, String::new()).map(Some)
    }
}

/// What the journal says of a sign-in without a password.
pub(super) fn deed(user: &User, hostname: &str) -> Deed {
    Deed::new("login.workstation", &user.username).after(&Seat { hostname })
}

#[derive(Serialize)]
struct Seat<'h> {
    hostname: &'h str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_like_it() {
        for (network, address, inside) in [
            ("192.168.7.0/24", "192.168.7.255", true),
            ("192.168.7.0/24", "192.168.8.0", false),
            ("192.168.7.9/24", "192.168.7.1", true),
            ("192.168.7.9", "192.168.7.9", true),
            ("192.168.7.9", "192.168.7.8", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "::1", false),
            ("192.168.7.0/24", "::ffff:192.168.7.3", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let net: Network = network.parse().unwrap();
            assert_eq!(net.holds(address.parse().unwrap()), inside, "{network} {address}");
        }
        for wrong in ["", "192.168.7", "192.168.7.0/33", "fd00::/129", "a/b", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_the_network_and_the_name_must_fit() {
        let mut rules = WorkstationLogin::default();
        let (inside, outside) = ("10.0.0.5".parse().ok(), "10.1.0.5".parse().ok());
        assert!(!rules.is_on() && !rules.takes(inside, "PC-1"));
        rules.networks.push("10.0.0.0/16".parse().unwrap());
        assert!(rules.takes(inside, "") && !rules.takes(outside, "") && !rules.takes(None, ""));
        rules.hostnames.push("PC-1".into());
        assert!(rules.takes(inside, " pc-1 "));
        assert!(!rules.takes(inside, "") && !rules.takes(inside, "PC-2"));
        assert!(!rules.takes(outside, "PC-1"));
    }
}
