//! HTTP, for clients that may be slow or hostile.

use std::{cell::Cell, convert::Infallible, net::SocketAddr, pin::pin, rc::Rc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::{Instant, sleep, sleep_until},
};

use super::{connections::Connections, pages::Pages};

/// Bytes of a request's line and headers.
const HEADERS: usize = 8192;

/// How long a client may take to ask.
const TO_ASK: Duration = Duration::from_secs(5);

/// How long it may take to read the answer.
const TO_READ: Duration = Duration::from_secs(20);

/// Serves for as long as the runtime's local tasks run.
///
/// A connection carries one request, so that it cannot last longer than [`TO_ASK`] and [`TO_READ`].
pub(super) async fn serve(listener: TcpListener, pages: Pages) {
    let connections = Rc::new(Connections::default());
    let pages = Rc::new(pages);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let pages = Rc::clone(&pages);
                let connections = Rc::clone(&connections);
                spawn_local(answer(stream, peer, pages, connections));
            }
            // A client that is gone again, or no descriptors left.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Answers one client, until it has its answer, takes too long, or makes room for others.
async fn answer(
    stream: TcpStream,
    peer: SocketAddr,
    pages: Rc<Pages>,
    connections: Rc<Connections>,
) {
    let place = connections.enter(peer.ip());
    let deadline = Cell::new(Instant::now() + TO_ASK);
    let service = service_fn(async |request| {
        deadline.set(Instant::now() + TO_READ);
        place.asked();
        Ok::<_, Infallible>(pages.answer(&request))
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = place.evicted() => return,
            () = sleep_until(deadline.get()) => {
                if deadline.get() <= Instant::now() {
                    return;
                }
            }
        }
    }
}
