use std::io;

use super::Sink;
use crate::{
    aggregate::{Interval, ParentKey, Summary},
    lifecycle::{LingeringParent, Standing, TaskId},
    model::{Alive, Doing, Dying, Loss, Running, Stack, Start, Unlisted, Zombie},
};

/// Two sinks: what comes goes to the watcher, and then to the output.
pub(crate) struct Watched {
    watcher: Box<dyn Sink + Send>,
    output: Box<dyn Sink + Send>,
}

impl Watched {
    pub(crate) fn new(watcher: Box<dyn Sink + Send>, output: Box<dyn Sink + Send>) -> Self {
        Self { watcher, output }
    }

    fn both(&mut self, mut act: impl FnMut(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
        act(&mut *self.watcher)?;
        act(&mut *self.output)
    }
}

impl Sink for Watched {
    fn start(&mut self, start: &Start) -> io::Result<()> {
        self.both(|sink| sink.start(start))
    }

    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        self.both(|sink| sink.zombie(zombie))
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        self.both(|sink| sink.alive(alive))
    }

    fn identified(&mut self, id: TaskId, zombie: &Zombie) -> io::Result<()> {
        self.both(|sink| sink.identified(id, zombie))
    }

    fn named(&mut self, parent: ParentKey, cmdline: &str) {
        self.watcher.named(parent, cmdline);
        self.output.named(parent, cmdline);
    }

    fn wants_lingering(&self) -> bool {
        self.watcher.wants_lingering() || self.output.wants_lingering()
    }

    fn lingering(&mut self, parents: &[LingeringParent]) -> io::Result<()> {
        self.both(|sink| sink.lingering(parents))
    }

    fn wants_unlisted(&self) -> bool {
        self.watcher.wants_unlisted() || self.output.wants_unlisted()
    }

    fn unlisted(&mut self, unlisted: &Unlisted) -> io::Result<()> {
        self.both(|sink| sink.unlisted(unlisted))
    }

    fn wants_standing(&self) -> bool {
        self.watcher.wants_standing() || self.output.wants_standing()
    }

    fn standing(&mut self, standing: &Standing) -> io::Result<()> {
        self.both(|sink| sink.standing(standing))
    }

    fn has_room(&mut self) -> bool {
        self.output.has_room()
    }

    fn wants_dying(&self) -> bool {
        self.watcher.wants_dying() || self.output.wants_dying()
    }

    fn dying(&mut self, dying: &Dying) -> io::Result<()> {
        self.both(|sink| sink.dying(dying))
    }

    fn loss(&mut self, loss: &Loss) -> io::Result<()> {
        self.both(|sink| sink.loss(loss))
    }

    fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        self.both(|sink| sink.interval(interval))
    }

    fn doing(&mut self, stacks: &[Stack], doing: &[Doing]) -> io::Result<()> {
        self.both(|sink| sink.doing(stacks, doing))
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.both(|sink| sink.summary(summary))
    }

    fn running(&mut self, running: &[Running]) -> io::Result<()> {
        self.both(|sink| sink.running(running))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.both(|sink| sink.flush())
    }

    fn end(&mut self) -> io::Result<()> {
        self.both(|sink| sink.end())
    }
}
