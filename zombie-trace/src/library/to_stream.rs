use std::io;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Error, Event};
use crate::{
    aggregate::Summary,
    model::{Alive, Dying, Loss, Start, Zombie},
    run::warning::Warning,
    sink::Sink,
};

/// Room for what must get through though nobody reads: the last loss, the summary or an error.
const RESERVE: usize = 4;

/// Puts events into a queue. While that is full, the run counts what it can't hold as lost.
#[derive(Clone, Debug)]
pub(super) struct ToStream(Sender<Result<Event, Error>>);

impl ToStream {
    /// A queue for as many events.
    pub(super) fn new(room: usize) -> (Self, Receiver<Result<Event, Error>>) {
        let (sender, receiver) = channel(room + RESERVE);
        (Self(sender), receiver)
    }

    /// Passes a warning on, if there is room.
    pub(super) fn warn(&self, warning: &Warning) {
        if self.room() > 0 {
            self.put(Event::Warning(warning.clone()));
        } else {
            log::warn!("{warning}");
        }
    }

    /// The run ends with this error.
    pub(super) fn fail(&self, error: Error) {
        let _ = self.0.try_send(Err(error));
    }

    fn room(&self) -> usize {
        self.0.capacity().saturating_sub(RESERVE)
    }

    /// Whoever has closed the queue learns nothing more. It is never full: see `has_room`.
    fn put(&self, event: Event) {
        let _ = self.0.try_send(Ok(event));
    }
}

impl Sink for ToStream {
    fn start(&mut self, _: &Start) -> io::Result<()> {
        Ok(())
    }

    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        self.put(Event::Zombie(zombie.clone()));
        Ok(())
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        self.put(Event::Alive(alive.clone()));
        Ok(())
    }

    fn dying(&mut self, dying: &Dying) -> io::Result<()> {
        self.put(Event::Dying(dying.clone()));
        Ok(())
    }

    fn has_room(&mut self) -> bool {
        self.room() > 0
    }

    fn loss(&mut self, loss: &Loss) -> io::Result<()> {
        self.put(Event::Loss(*loss));
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.put(Event::Summary(Box::new(summary.clone())));
        Ok(())
    }

    /// An error once the stream is dropped: the run ends.
    fn flush(&mut self) -> io::Result<()> {
        match self.0.is_closed() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::Aggregate,
        model::{Counts, Lost, fixtures},
    };

    #[test]
    fn the_end_has_room_though_nobody_reads() {
        let (mut sink, mut receiver) = ToStream::new(2);
        let mut zombies = 0;
        while sink.has_room() {
            sink.zombie(&fixtures::zombie()).unwrap();
            zombies += 1;
        }
        assert_eq!(zombies, 2);
        let zombie = fixtures::zombie();
        let lost = Lost::default();
        sink.loss(&Loss {
            ts: zombie.ts,
            lost,
        })
        .unwrap();
        let end = std::time::Duration::from_secs(1);
        let summary = Aggregate::default().summary(Counts::default(), zombie.ts, end);
        sink.summary(&summary).unwrap();
        sink.fail(Error::other("then this"));
        let mut kinds = Vec::new();
        drop(sink);
        while let Some(event) = receiver.blocking_recv() {
            kinds.push(match event {
                Ok(Event::Zombie(_)) => "zombie",
                Ok(Event::Loss(_)) => "loss",
                Ok(Event::Summary(_)) => "summary",
                Ok(_) => "other",
                Err(_) => "error",
            });
        }
        assert_eq!(kinds, ["zombie", "zombie", "loss", "summary", "error"]);
    }

    #[test]
    fn a_stream_that_is_dropped_ends_the_run() {
        let (mut sink, receiver) = ToStream::new(2);
        assert!(sink.flush().is_ok());
        drop(receiver);
        assert_eq!(sink.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
