//! How many connections are open, in all and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::settings::ListenSettings;

/// The bits of an IPv6 address that name a network rather than a machine in it.
const NETWORK: u128 = !0 << 64;

/// Counts open connections. Clones count together.
#[derive(Clone)]
pub struct Census(Arc<Inside>);

struct Inside {
    limit: usize,
    limit_of_others: usize,
    limit_per_address: usize,
    counts: Mutex<Counts>,
    emptied: Notify,
}

#[derive(Default)]
struct Counts {
    total: usize,
    per_address: HashMap<IpAddr, usize>,
}

/// One open connection; it counts until it is dropped.
pub struct Place {
    census: Census,
    address: Option<IpAddr>,
}

impl Census {
    /// Nobody yet.
    pub fn new(settings: &ListenSettings) -> Self {
        Self(Arc::new(Inside {
            limit: settings.connections,
            limit_of_others: settings.connections.saturating_sub(settings.connections_reserved),
            limit_per_address: settings.connections_per_address,
            counts: Mutex::default(),
            emptied: Notify::new(),
        }))
    }

    /// A place for a peer (none: the local socket), unless the house or the peer's share is full.
    pub fn admit(&self, peer: Option<IpAddr>) -> Option<Place> {
        let address = peer.map(network_of).filter(|a| !a.is_loopback());
        let mut counts = self.counts();
        let limit = if address.is_some() { self.0.limit_of_others } else { self.0.limit };
        if counts.total >= limit {
            return None;
        }
        if let Some(address) = address {
            let share = counts.per_address.entry(address).or_default();
            if *share >= self.0.limit_per_address {
                return None;
            }
            *share += 1;
        }
        counts.total += 1;
        Some(Place { census: self.clone(), address })
    }

    /// Open connections.
    pub fn total(&self) -> usize {
        self.counts().total
    }

    /// Resolves when nobody is left.
    pub async fn empty(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.total() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        counts.total = counts.total.saturating_sub(1);
        if let Some(address) = self.address
            && let Some(share) = counts.per_address.get_mut(&address)
        {
            *share = share.saturating_sub(1);
            if *share == 0 {
                counts.per_address.remove(&address);
            }
        }
        if counts.total == 0 {
            self.census.0.emptied.notify_waiters();
        }
    }
}

/// A machine may have as many addresses in its IPv6 network as it likes; they share one count.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() & NETWORK).into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_the_reserve_hold() {
        let census = Census::new(&ListenSettings {
            connections: 4,
            connections_reserved: 1,
            connections_per_address: 2,
            ..ListenSettings::default()
        });
        let admit = |address: &str| census.admit(Some(address.parse().unwrap()));
        let first = [admit("10.0.0.1"), admit("::ffff:10.0.0.1")];
        assert!(first.iter().all(Option::is_some));
        assert!(admit("10.0.0.1").is_none(), "one address took more than its share");
        let third = admit("fd00::1");
        assert!(third.is_some() && admit("10.0.0.2").is_none(), "the reserve was given away");
        let near = admit("127.0.0.1");
        assert!(near.is_some() && admit("127.0.0.1").is_none());
        drop((first, third, near));
        assert_eq!((census.total(), census.counts().per_address.len()), (0, 0));
    }
}
