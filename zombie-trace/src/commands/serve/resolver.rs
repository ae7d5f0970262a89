//! Names of collectors.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
};

use tokio::task::{JoinHandle, spawn_blocking};

/// Looks names up, one at a time.
///
/// The system's resolver blocks its thread for as long as it likes. Whoever gives up waiting leaves
/// it running, and the next who asks waits for the same answer: no more than one thread ever hangs.
#[derive(Debug, Default)]
pub(super) struct Resolver(RefCell<Option<JoinHandle<io::Result<Vec<SocketAddr>>>>>);

impl Resolver {
    /// The addresses of the collector's host, always the same one.
    pub(super) async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut lookup = Pending {
            resolver: self,
            handle: self.0.take(),
        };
        let handle = lookup.handle.get_or_insert_with(|| {
            let host = host.to_owned();
            spawn_blocking(move || Ok((host, port).to_socket_addrs()?.collect()))
        });
        let answer = handle.await;
        lookup.handle = None;
        answer.map_err(io::Error::other)?
    }
}

/// Puts a lookup back that nobody waits for any more.
struct Pending<'a> {
    resolver: &'a Resolver,
    handle: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.resolver.0.replace(self.handle.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let resolver = Resolver::default();
        let addresses = resolver.lookup("::1", 80).await.unwrap();
        assert_eq!(addresses, ["[::1]:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn names_are_looked_up() {
        let resolver = Resolver::default();
        let addresses = resolver.lookup("localhost", 80).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(!addresses.is_empty() && resolver.0.borrow().is_none());
    }

    #[tokio::test]
    async fn a_lookup_that_was_given_up_is_waited_for_again() {
        let resolver = Resolver::default();
        let (answer, hangs) = std::sync::mpsc::channel::<io::Result<Vec<SocketAddr>>>();
        let lookup = spawn_blocking(move || hangs.recv().map_err(io::Error::other)?);
        resolver.0.replace(Some(lookup));
        let patience = std::time::Duration::from_millis(20);
        let given_up = tokio::time::timeout(patience, resolver.lookup("name", 80)).await;
        assert!(given_up.is_err() && resolver.0.borrow().is_some());
        let address = "192.0.2.1:80".parse().unwrap();
        answer.send(Ok(vec![address])).unwrap();
        // A name that nobody has: only the first lookup can have this answer.
        assert_eq!(resolver.lookup("name", 80).await.unwrap(), [address]);
    }
}
