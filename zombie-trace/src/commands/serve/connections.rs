//! Who is connected, and who makes room for whom.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv6Addr},
    rc::Rc,
};

use tokio::sync::Notify;

/// How many connections there can be.
const ALL: usize = 64;

/// How many of them from one peer.
const OF_A_PEER: usize = 16;

/// The connections of one thread, oldest first.
#[derive(Debug, Default)]
pub(super) struct Connections(RefCell<Vec<Rc<Connection>>>);

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    /// Its request has been read.
    asked: Cell<bool>,
    eviction: Notify,
}

/// A place among [`Connections`], until this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace<'a> {
    connections: &'a Connections,
    connection: Rc<Connection>,
}

impl Connections {
    /// Gives a newcomer a place. Where there is none left, another connection makes room: one from
    /// the same peer if that has its share, else one from the peer that has most.
    pub(super) fn enter(&self, peer: IpAddr) -> ConnectionPlace<'_> {
        let peer = network(peer);
        let mut all = self.0.borrow_mut();
        let count = |peer| all.iter().filter(|other| other.peer == peer).count();
        let crowded = if count(peer) >= OF_A_PEER {
            Some(peer)
        } else if all.len() >= ALL {
            let peers = all.iter().map(|other| other.peer);
            peers.max_by_key(|peer| count(*peer))
        } else {
            None
        };
        if let Some(place) = crowded.and_then(|peer| victim(&all, peer)) {
            all.remove(place).eviction.notify_one();
        }
        let connection = Rc::new(Connection {
            peer,
            asked: Cell::new(false),
            eviction: Notify::new(),
        });
        all.push(Rc::clone(&connection));
        ConnectionPlace {
            connections: self,
            connection,
        }
    }
}

/// Of a peer's connections the oldest that is idle, or else the oldest.
fn victim(all: &[Rc<Connection>], peer: IpAddr) -> Option<usize> {
    let of_peer = || (0..all.len()).filter(|place| all[*place].peer == peer);
    let idle = of_peer().find(|place| !all[*place].asked.get());
    idle.or_else(|| of_peer().next())
}

impl ConnectionPlace<'_> {
    /// The client has asked: it is idle no longer.
    pub(super) fn asked(&self) {
        self.connection.asked.set(true);
    }

    /// Waits until the connection has to make room.
    pub(super) async fn evicted(&self) {
        self.connection.eviction.notified().await;
    }
}

impl Drop for ConnectionPlace<'_> {
    fn drop(&mut self) {
        let mut all = self.connections.0.borrow_mut();
        all.retain(|other| !Rc::ptr_eq(other, &self.connection));
    }
}

/// What one peer has: an IPv4 address, or the /64 network of an IPv6 address.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(number: usize) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, number as u8).into()
    }

    fn is_evicted(connections: &Connections, place: &ConnectionPlace<'_>) -> bool {
        let all = connections.0.borrow();
        !all.iter().any(|other| Rc::ptr_eq(other, &place.connection))
    }

    /// 64 connections from four peers.
    fn full(connections: &Connections) -> Vec<ConnectionPlace<'_>> {
        let peers = (0..ALL).map(|number| peer(number / OF_A_PEER));
        peers.map(|peer| connections.enter(peer)).collect()
    }

    #[test]
    fn a_peer_that_has_its_share_loses_its_oldest_idle_connection() {
        let connections = Connections::default();
        let first = connections.enter(peer(1));
        first.asked();
        let idle: Vec<_> = (1..OF_A_PEER).map(|_| connections.enter(peer(1))).collect();
        assert!(!is_evicted(&connections, &idle[0]));
        let newcomer = connections.enter(peer(1));
        assert!(is_evicted(&connections, &idle[0]));
        for place in [&first, &idle[1], &newcomer] {
            assert!(!is_evicted(&connections, place));
        }
    }

    #[test]
    fn a_newcomer_always_finds_a_place() {
        let connections = Connections::default();
        let places = full(&connections);
        for place in &places {
            place.asked();
        }
        let newcomer = connections.enter(peer(9));
        let evicted = places
            .iter()
            .filter(|place| is_evicted(&connections, place));
        assert_eq!(evicted.count(), 1);
        assert_eq!(connections.0.borrow().len(), ALL);
        // The crowd makes room, however many come: a peer with one connection keeps it.
        let others: Vec<_> = (10..40).map(|n| connections.enter(peer(n))).collect();
        assert!(!is_evicted(&connections, &newcomer));
        assert!(!is_evicted(&connections, &others[0]));
    }

    #[test]
    fn whoever_leaves_gives_its_place_back() {
        let connections = Connections::default();
        drop(full(&connections));
        assert!(connections.0.borrow().is_empty());
    }

    #[test]
    fn a_network_is_one_peer() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_ne!(address("10.0.0.1"), address("10.0.0.2"));
    }

    #[tokio::test]
    async fn the_evicted_learn_of_it() {
        let connections = Connections::default();
        let places: Vec<_> = (0..=OF_A_PEER)
            .map(|_| connections.enter(peer(1)))
            .collect();
        places[0].evicted().await;
    }
}
