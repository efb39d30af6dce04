//! Finds out which process listens at an address, so that "in use" can be said with a name.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a socket that listens (`include/net/tcp_states.h`).
const LISTENS: &str = "0A";

/// Who listens at `address`, in words; a process of another user stays "another program".
pub fn of(address: SocketAddr) -> String {
    found(address).map_or_else(
        || "another program".to_owned(),
        |(pid, name)| format!("process {pid} ({name})"),
    )
}

fn found(address: SocketAddr) -> Option<(u32, String)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables
        .iter()
        .find_map(|table| inode_at(&fs::read_to_string(table).unwrap_or_default(), address))?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.into_iter().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let held = |path: &Path| fs::read_link(path).is_ok_and(|to| to.as_os_str() == &*socket);
        descriptors.any(|descriptor| held(&descriptor.path())).then(|| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            (pid, name.trim().to_owned())
        })
    })
}

/// The socket that listens at `address`, or at its port on every address.
fn inode_at(table: &str, address: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        let here = parsed(local)?;
        let same = here.port() == address.port()
            && (here.ip().to_canonical() == address.ip() || here.ip().is_unspecified());
        // Between the state and the inode stand queues, timer, retransmissions, user and timeout.
        (state == LISTENS && same).then(|| words.nth(5)?.parse().ok()).flatten()
    })
}

/// `0100007F:13BF` is 127.0.0.1:5055: each 32-bit word of the address as the machine keeps it.
fn parsed(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_at_its_own_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(found(address).map(|(pid, _)| pid), Some(std::process::id()));
        assert!(of(address).contains(&std::process::id().to_string()));
        let every = TcpListener::bind("[::]:0").unwrap();
        let port = every.local_addr().unwrap().port();
        let reached = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(found(reached).map(|(pid, _)| pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(of(address), "another program");
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let address = "127.0.0.1:5055".parse().unwrap();
        let line = "  0: 0100007F:13BF 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 77 1";
        assert_eq!(inode_at(&format!("head\n{line}\n"), address), Some(77));
        for damaged in ["", "0:", "0: 0100007F 0 0A", "0: zz:13BF 0 0A 0 0 0 0 0 1", &line[..40]] {
            assert_eq!(inode_at(&format!("head\n{damaged}\n"), address), None, "{damaged}");
        }
    }
}
