use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::Sink;
use crate::{
    aggregate::Summary,
    lifecycle::{Standing, TaskId},
    metrics::{MetricFigures, Totals},
    model::{Alive, Loss, Start, Zombie},
};

/// Counts into figures that others read meanwhile.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    totals: Totals,
    /// When it was last told what is now.
    seen: Instant,
}

impl Metrics {
    /// Counts on from these.
    pub fn new(totals: Totals) -> Self {
        let seen = Instant::now();
        Self(Arc::new(Mutex::new(Shared { totals, seen })))
    }

    /// A copy of the figures. Whoever counts waits for no more than that.
    pub fn figures(&self) -> MetricFigures {
        self.lock().totals.figures()
    }

    /// When it was last told what is now, as it is every second or so.
    pub fn seen(&self) -> Instant {
        self.lock().seen
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Metrics {
    fn start(&mut self, _: &Start) -> io::Result<()> {
        Ok(())
    }

    fn zombie(&mut self, _: &Zombie) -> io::Result<()> {
        Ok(())
    }

    fn identified(&mut self, id: TaskId, zombie: &Zombie) -> io::Result<()> {
        self.lock().totals.zombie(id, zombie);
        Ok(())
    }

    fn alive(&mut self, _: &Alive) -> io::Result<()> {
        Ok(())
    }

    fn wants_standing(&self) -> bool {
        true
    }

    fn standing(&mut self, standing: &Standing) -> io::Result<()> {
        let mut shared = self.lock();
        shared.totals.standing(standing);
        shared.seen = Instant::now();
        Ok(())
    }

    fn wants_dying(&self) -> bool {
        false
    }

    fn loss(&mut self, _: &Loss) -> io::Result<()> {
        Ok(())
    }

    fn summary(&mut self, _: &Summary) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
