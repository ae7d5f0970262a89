//! HTTP, for clients that may be slow or hostile.

use std::{cell::Cell, convert::Infallible, pin::pin, rc::Rc, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_local,
    time::{Instant, sleep, sleep_until},
};

use super::pages::Pages;

/// So many at a time; the next wait in the listener's queue.
const CONNECTIONS: usize = 64;

/// Request line and headers, bytes.
const HEADERS: usize = 8192;

/// How long a client may take to ask.
const TO_ASK: Duration = Duration::from_secs(5);

/// How long it may take to read the answer, and to ask again on the same connection.
const TO_READ: Duration = Duration::from_secs(20);

/// Serves for as long as the runtime's local tasks are run.
pub(super) async fn serve(listener: TcpListener, pages: Pages) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let pages = Rc::new(pages);
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = Rc::clone(&pages);
                spawn_local(async move {
                    converse(stream, &pages).await;
                    drop(permit);
                });
            }
            // A client that is gone again, or no descriptors left.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Answers one client until it ends or takes too long.
async fn converse(stream: TcpStream, pages: &Pages) {
    let deadline = Cell::new(Instant::now() + TO_ASK);
    let service = service_fn(async |request| {
        deadline.set(Instant::now() + TO_READ);
        Ok::<_, Infallible>(pages.answer(&request))
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = sleep_until(deadline.get()) => {
                if deadline.get() <= Instant::now() {
                    return;
                }
            }
        }
    }
}
